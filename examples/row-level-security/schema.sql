-- Each user sees and writes their own notes, whatever SQL the client sends.
create table notes (
    id bigint generated always as identity primary key,
    owner text not null default claims.verified() ->> 'sub',
    body text not null
);

alter table notes enable row level security;
create policy own on notes using (owner = claims.verified() ->> 'sub');
grant select, insert on notes to authenticated;
