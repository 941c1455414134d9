-- The claims of a request's token, for row-level security, and only if the endpoint signed them: a client can set
-- request.jwt.claims to anything, but not request.jwt.signature to what belongs to it.
--
-- Run it as the owner of the database, with the key of the endpoint's configuration in place of KEY; then write policies
-- with claims.verified():
--
--   create policy own on notes using (owner = claims.verified()->>'sub');

create schema claims;

create table claims.key (inner_pad bytea not null, outer_pad bytea not null);
revoke all on claims.key from public;

-- HMAC-SHA-256 (RFC 2104) with the two padded keys made once.
do $$
declare
    padded bytea := convert_to('KEY', 'UTF8');
    inner_pad bytea;
    outer_pad bytea;
begin
    padded := padded || decode(repeat('00', 64 - length(padded)), 'hex');
    inner_pad := padded;
    outer_pad := padded;
    for at in 0..63 loop
        inner_pad := set_byte(inner_pad, at, get_byte(padded, at) # 54);
        outer_pad := set_byte(outer_pad, at, get_byte(padded, at) # 92);
    end loop;
    insert into claims.key values (inner_pad, outer_pad);
end
$$;

create function claims.verified() returns jsonb
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    claims text := nullif(current_setting('request.jwt.claims', true), '');
    signed text;
begin
    if claims is null then
        return null;
    end if;
    select encode(sha256(key.outer_pad || sha256(key.inner_pad || convert_to(claims, 'UTF8'))), 'hex')
        into signed from claims.key;
    if signed is distinct from current_setting('request.jwt.signature', true) then
        raise exception 'the claims are not signed by the endpoint' using errcode = '28000';
    end if;
    -- What was signed for a token that has expired meanwhile is no longer good; ten minutes are for clocks.
    if (claims::jsonb ->> 'exp')::numeric < extract(epoch from clock_timestamp()) - 600 then
        raise exception 'the token has expired' using errcode = '28000';
    end if;
    return claims::jsonb;
end
$$;

grant usage on schema claims to public;
