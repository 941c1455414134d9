//! Several requests in one flight: what a request in the middle does or suffers stays with it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::time::{Duration, Instant};

use onetrip_tests::{BEHIND_A_GUARD, Faults, Gateway, OneConnection};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Waits in the middle of a flight while the test holds the lock, and not otherwise.
const GATE: &str = "select pg_advisory_xact_lock_shared($1::int8)::text as gate";

fn tagged(tag: i64) -> Value {
    json!({"sql": "select $1::int8 as tag", "params": [tag]})
}

fn gate(key: i64) -> Value {
    json!({"sql": GATE, "params": [key]})
}

fn check_tag(answer: &Value, tag: i64) {
    assert_eq!(answer["rows"], json!([{"tag": tag.to_string()}]), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_share_a_flight_and_each_gets_its_own_rows() {
    let one = OneConnection::start("requests_in_flight = 4").await;
    one.know(&[tagged(0)]).await;
    let answers = one.answers((1..=4).map(tagged).collect()).await;
    for (tag, answer) in (1..).zip(&answers) {
        check_tag(answer, tag);
    }
    assert_eq!(one.flights(), [4]);
    assert_eq!(one.metric("onetrip_shared_total").await, 3);
    assert_eq!(one.metric("onetrip_shared_in_vain_total").await, 0);
    // No more than the configuration says, whatever waits.
    one.answers((1..=9).map(tagged).collect()).await;
    assert_eq!(one.flights(), [4, 4, 1]);
    assert_eq!(one.stack.proxy.connections().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_wants_no_sharing_has_none() {
    let one = OneConnection::start("requests_in_flight = 1").await;
    one.know(&[tagged(0)]).await;
    one.answers((1..=3).map(tagged).collect()).await;
    assert_eq!(one.flights(), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_to_be_short_and_plain_has_a_flight_of_its_own() {
    let one = OneConnection::start("short_request = '20ms'").await;
    let begin = json!({"sql": "begin"});
    let slow = json!({"sql": "select pg_sleep(0.3)::text as slow"});
    let large = json!({"sql": "select repeat('x', 100000) as large"});
    let batch = json!({"batch": [{"sql": "set work_mem = '7MB'"}, {"sql": "select 1 as tag"}]});
    one.know(&[tagged(0), begin.clone(), slow.clone(), large.clone(), batch.clone()]).await;
    for alone in [begin, slow, large, batch] {
        // Neither in front of others nor behind them.
        let answers = one.answers(vec![alone.clone(), tagged(1), alone.clone(), tagged(2)]).await;
        check_tag(&answers[1], 1);
        check_tag(&answers[3], 2);
        assert!(!one.stack.proxy.flights().iter().any(|flight| {
            let tags = &flight.frontend;
            tags.contains(BEHIND_A_GUARD) && tags.matches("BDES").count() > 2
        }));
        let error = if alone["sql"] == "begin" { json!("25000") } else { Value::Null };
        assert!([0, 2].iter().all(|&n: &usize| answers[n]["error"]["code"] == error), "{answers:?}");
    }
    one.know(&[tagged(0)]).await;
    let unknown = json!({"sql": "select 'first' as tag"});
    one.answers(vec![unknown.clone(), tagged(1), unknown, tagged(2)]).await;
    assert_eq!(one.flights()[0], 1, "nobody goes along behind what is not known yet");
    let setting = one.answers(vec![json!({"sql": "select current_setting('work_mem') as a"})]).await;
    assert_eq!(setting[0]["rows"], json!([{"a": "4MB"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_not_taken_for_the_way_although_nothing_else_was_ever_asked() {
    let one = OneConnection::start("short_request = '20ms'").await;
    let slow = json!({"sql": "select pg_sleep(0.4)::text as slow"});
    one.know(std::slice::from_ref(&slow)).await;
    one.answers(vec![slow.clone(), slow.clone(), slow]).await;
    assert_eq!(one.flights(), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_stays_with_its_request_wherever_it_stands() {
    let one = OneConnection::start("").await;
    let divide = |by: i64| json!({"sql": "select (10 / $1::int8) as tag", "params": [by]});
    one.know(&[divide(1), tagged(0)]).await;
    for failing in 0..3 {
        one.know(&[divide(1)]).await;
        let requests = (0..3).map(|n| if n == failing { divide(0) } else { tagged(n) }).collect();
        let answers = one.answers(requests).await;
        for (n, answer) in (0..).zip(&answers) {
            if n == failing {
                assert_eq!(answer["error"]["code"], "22012", "{answer}");
            } else {
                check_tag(answer, n);
            }
        }
        // PostgreSQL may divide when it plans, so that it might be the statement that does not fit any longer: it is asked
        // once more, alone.
        assert_eq!(one.flights()[0], 3, "{failing}");
    }
    let wrong = json!({"sql": "select $1::int8 as tag", "params": ["abc"]});
    let answers = one.answers(vec![tagged(1), wrong, tagged(3)]).await;
    assert_eq!(answers[1]["error"]["code"], "22P02");
    check_tag(&answers[0], 1);
    check_tag(&answers[2], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_of_a_request_is_there_for_the_one_behind_it_in_the_flight() {
    let one = OneConnection::start("").await;
    let create = "create function leave(really bool) returns text language plpgsql as $$ begin if really then \
        set work_mem = '77MB'; create temp table left_behind (a int4); execute 'listen left_channel'; \
        execute 'declare left_cursor cursor with hold for select 1'; perform pg_advisory_lock(77); \
        end if; return 'left'; end $$";
    one.outside.batch_execute(create).await.unwrap();
    let leave = |really: bool| json!({"sql": "select leave($1)", "params": [really]});
    let look = json!({"sql": "select current_setting('work_mem') || coalesce(to_regclass('left_behind')::text, '') || \
        (select count(*) from pg_listening_channels())::text || (select count(*) from pg_cursors where is_holdable)::text \
        || (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())::text as state"});
    one.know(&[leave(false), look.clone()]).await;
    let answers = one.answers(vec![leave(true), look.clone(), leave(true), look]).await;
    for answer in [&answers[1], &answers[3]] {
        assert_eq!(answer["rows"], json!([{"state": "4MB000"}]), "{answer}");
    }
    assert_eq!(one.flights(), [4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_runs_behind_a_reset_that_failed() {
    let one = OneConnection::start("").await;
    // So many cursors that closing them takes longer than the session allows itself.
    let create = "create function clutter(cursors int4) returns text language plpgsql as $$ begin \
        for i in 1..cursors loop execute format('declare c%s cursor with hold for select 1', i); end loop; \
        if cursors > 0 then perform set_config('statement_timeout', '1', false); end if; return 'done'; end $$";
    one.outside.batch_execute(create).await.unwrap();
    one.outside.batch_execute("create table ran (n int8)").await.unwrap();
    let clutter = |cursors: i64| json!({"sql": "select clutter($1)", "params": [cursors]});
    let look = |n: i64| {
        let sql = "with ran as (insert into ran values ($1)) select current_setting('statement_timeout') || \
                   (select count(*) from pg_cursors where is_holdable)::text as state";
        json!({"sql": sql, "params": [n]})
    };
    one.know(&[clutter(0), look(0)]).await;
    let answers = one.answers(vec![clutter(6_000), look(1), look(2)]).await;
    assert_eq!(answers[0]["rows"], json!([{"clutter": "done"}]));
    for answer in &answers[1..] {
        assert_eq!(answer["rows"], json!([{"state": "00"}]), "{answer}");
    }
    assert!(one.metric("onetrip_shared_in_vain_total").await >= 1, "the reset did not fail");
    let ran =
        one.outside.query_one("select count(*), count(distinct n) from ran where n > 0", &[]).await.unwrap();
    assert_eq!((ran.get::<_, i64>(0), ran.get::<_, i64>(1)), (2, 2), "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_runs_behind_a_request_that_dropped_what_the_guard_and_the_reset_are_made_of() {
    let one = OneConnection::start("").await;
    let create = "create function drop_all(really bool) returns text language plpgsql as $$ begin if really then \
        execute 'deallocate all'; end if; return 'done'; end $$";
    one.outside.batch_execute(create).await.unwrap();
    let drop_all = |really: bool| json!({"sql": "select drop_all($1)", "params": [really]});
    one.know(&[drop_all(false), tagged(0)]).await;
    let answers = one.answers(vec![drop_all(true), tagged(1), drop_all(true), tagged(3)]).await;
    assert_eq!(one.flights()[0], 4);
    check_tag(&answers[1], 1);
    check_tag(&answers[3], 3);
    assert_eq!(one.metric("onetrip_shared_in_vain_total").await, 3);
    assert_eq!(one.stack.proxy.connections().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_one_whose_client_or_deadline_is_gone_is_cancelled_and_those_behind_it_are_answered() {
    let one = OneConnection::start("").await;
    one.outside.batch_execute("create table counted (n int8)").await.unwrap();
    let count = |n: i64| json!({"sql": "insert into counted values ($1) returning n as tag", "params": [n]});
    one.know(&[gate(2), tagged(0), count(0)]).await;
    one.outside.batch_execute("delete from counted").await.unwrap();
    for round in 0..6 {
        one.lock(2).await;
        let headers: &'static [_] = if round % 2 == 0 { &[("onetrip-deadline", "300")] } else { &[] };
        let asked = one
            .send_all(vec![(gate(2), headers), (tagged(7), &[]), (count(round), &[]), (tagged(9), &[])])
            .await;
        let [first, second, third, fourth] = asked.try_into().unwrap();
        one.eventually("the first one waits", async |it| it.blocked().await == 1).await;
        assert_eq!(one.flights(), [4]);
        if round % 2 == 0 {
            let answer = first.await.unwrap();
            assert_eq!(answer.status, 504, "{}", String::from_utf8_lossy(&answer.body));
        } else {
            first.abort();
        }
        check_tag(&second.await.unwrap().json(), 7);
        check_tag(&third.await.unwrap().json(), round);
        check_tag(&fourth.await.unwrap().json(), 9);
        one.unlock(2).await;
        one.know(&[gate(2), tagged(0)]).await;
    }
    let sql = "select count(*), count(distinct n) from counted";
    let counted = one.outside.query_one(sql, &[]).await.unwrap();
    assert_eq!((counted.get::<_, i64>(0), counted.get::<_, i64>(1)), (6, 6), "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_given_up_because_it_takes_long_is_known_to_take_long() {
    let one = OneConnection::start("short_request = '100ms'").await;
    one.know(&[gate(2), tagged(0)]).await;
    one.lock(2).await;
    let asked = one.send_all(vec![(gate(2), &[]), (tagged(2), &[])]).await;
    one.eventually("the first one waits", async |it| it.blocked().await == 1).await;
    let [first, second] = asked.try_into().unwrap();
    // Long enough for its share in the moving average.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    first.abort();
    check_tag(&second.await.unwrap().json(), 2);
    one.unlock(2).await;
    one.answers(vec![gate(2), tagged(3), tagged(4)]).await;
    assert_eq!(one.flights()[0], 1, "nobody goes along behind it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_that_leaves_before_its_turn_is_skipped() {
    let one = OneConnection::start("").await;
    one.know(&[gate(3), tagged(0)]).await;
    one.lock(3).await;
    let asked = one
        .send_all(vec![
            (gate(3), &[]),
            (tagged(2), &[("onetrip-deadline", "1")][..0]),
            (tagged(3), &[("onetrip-deadline", "2500")]),
            (tagged(4), &[]),
        ])
        .await;
    let [first, second, third, fourth] = asked.try_into().unwrap();
    one.eventually("the first one waits", async |it| it.blocked().await == 1).await;
    assert_eq!(one.flights(), [4]);
    second.abort();
    let late = third.await.unwrap();
    assert_eq!((late.status, &late.json()["code"]), (504, &json!("deadline_exceeded")));
    one.unlock(3).await;
    assert_eq!(first.await.unwrap().json()["rows"], json!([{"gate": ""}]));
    check_tag(&fourth.await.unwrap().json(), 4);
    check_tag(&one.stack.gateway.pipeline(&tagged(5)).await.json(), 5);
    assert_eq!(one.stack.proxy.connections().len(), 1, "the connection is as good as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_a_server_had_not_begun_with_when_it_ended_the_session_are_sent_again() {
    let one = OneConnection::start("").await;
    one.know(&[gate(4), tagged(0)]).await;
    one.lock(4).await;
    let asked = one.send_all(vec![(gate(4), &[]), (tagged(2), &[]), (tagged(3), &[])]).await;
    one.eventually("the first one waits", async |it| it.blocked().await == 1).await;
    assert_eq!(one.flights(), [3]);
    one.end_sessions().await;
    let [first, second, third] = asked.try_into().unwrap();
    let first = first.await.unwrap();
    assert_eq!((first.status, &first.json()["code"]), (502, &json!("connection_lost")));
    check_tag(&second.await.unwrap().json(), 2);
    check_tag(&third.await.unwrap().json(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_table_heals_in_a_shared_flight() {
    let one = OneConnection::start("").await;
    one.outside.batch_execute("create table shape (a int4); insert into shape values (1)").await.unwrap();
    let all = json!({"sql": "select * from shape"});
    one.know(&[all.clone(), tagged(0)]).await;
    one.outside.batch_execute("alter table shape add column b int4 default 2").await.unwrap();
    let answers = one.answers(vec![all.clone(), tagged(1), all.clone(), all.clone()]).await;
    check_tag(&answers[1], 1);
    for answer in [&answers[0], &answers[2], &answers[3]] {
        assert_eq!(answer["rows"], json!([{"a": 1, "b": 2}]), "{answer}");
    }
    assert_eq!(one.flights()[0], 4);
    assert_eq!(one.stack.proxy.connections().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_a_large_answer_does_not_hold_up_those_behind_it() {
    let one = OneConnection::start("").await;
    let rows = |count: i64| json!({"sql": "select repeat('x', 1000) as row from generate_series(1, $1::int8)", "params": [count]});
    one.know(&[rows(1), tagged(0)]).await;
    for (count, limit) in [(2_000, Duration::from_secs(3)), (100_000, Duration::from_secs(20))] {
        one.lock(1).await;
        let busy = one.make_busy().await;
        let mut slow = TcpStream::connect(one.stack.gateway.address()).await.unwrap();
        let body = rows(count).to_string();
        let database = &one.stack.database;
        let request = format!(
            "POST /v1/{}/pipeline HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            database.name,
            Gateway::basic(&database.name, &database.password),
            body.len()
        );
        slow.write_all(request.as_bytes()).await.unwrap();
        one.eventually("it waits", async |it| it.metric("onetrip_requests_waiting").await == 1).await;
        let second = one.ask(tagged(2));
        one.eventually("both wait", async |it| it.metric("onetrip_requests_waiting").await == 2).await;
        one.stack.proxy.forget();
        one.unlock(1).await;
        busy.await.unwrap();
        let begun = Instant::now();
        check_tag(&second.await.unwrap().json(), 2);
        assert!(begun.elapsed() < limit, "{count} rows: {:?}", begun.elapsed());
        assert_eq!(one.flights()[0], 2);
        drop(slow);
        // What had a large answer once does not share a flight any longer, so another connection is made to forget.
        one.end_sessions().await;
        one.know(&[rows(1), tagged(0)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_or_a_message_over_a_limit_is_the_error_of_its_request_alone() {
    let one = OneConnection::start("[limits]\nrow_bytes = 10000").await;
    let create = "create function shout(how text, bytes int4) returns text language plpgsql as $$ begin \
        if how = 'notice' then raise notice '%', repeat('x', bytes); end if; \
        if how = 'error' then raise exception '%', repeat('x', bytes); end if; \
        return repeat('x', case how when 'row' then bytes else 1 end); end $$";
    one.outside.batch_execute(create).await.unwrap();
    let shout = |how: &str, bytes: i64| json!({"sql": "select shout($1, $2)", "params": [how, bytes]});
    for (how, what) in [("row", "a row"), ("notice", "a notice"), ("error", "an error")] {
        one.know(&[shout("row", 1), tagged(0)]).await;
        let answers = one.answers(vec![shout(how, 20_000), tagged(2), shout(how, 20_000), tagged(3)]).await;
        for answer in [&answers[0], &answers[2]] {
            assert_eq!(answer["error"]["code"], "54000", "{answer}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.starts_with(what) && message.contains("limits.row_bytes"), "{message}");
        }
        check_tag(&answers[1], 2);
        check_tag(&answers[3], 3);
        assert_eq!(one.flights(), [4], "{how}");
        // Also of one that has the connection for itself.
        let alone = one.stack.pipeline(&json!({"sql": format!("select shout('{how}', 20000)")})).await.json();
        assert_eq!(alone["error"]["code"], "54000", "{alone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_hits_another_one_is_not_its_error_even_when_a_part_of_its_answer_is_given_out() {
    let one = OneConnection::start("").await;
    let sql = "select repeat('x', 10000) as row from generate_series(1, $1::int8) union all select pg_sleep($2)::text";
    let rows = |count: i64, seconds: i64| json!({"sql": sql, "params": [count, seconds]});
    // One that is small enough to be kept is sent again; of the other one a part is the client's already.
    for (count, complete) in [(10, true), (2_000, false)] {
        one.know(&[gate(2), rows(1, 0), tagged(0)]).await;
        one.lock(2).await;
        let asked = one.send_all(vec![(gate(2), &[]), (rows(count, 5), &[]), (tagged(3), &[])]).await;
        one.eventually("the first one waits", async |it| it.blocked().await == 1).await;
        let [first, second, third] = asked.try_into().unwrap();
        let cancelled = one.metric("onetrip_cancelled_total").await;
        // The cancellation takes so long to get there that it hits the second one.
        one.stack.proxy.set_faults(Faults { delay: Duration::from_secs(1), ..Faults::default() });
        first.abort();
        let sent = async |it: &OneConnection| it.metric("onetrip_cancelled_total").await > cancelled;
        one.eventually("the first one is cancelled", sent).await;
        one.unlock(2).await;
        let second = second.await.unwrap();
        one.stack.proxy.set_faults(Faults::default());
        assert_eq!((second.status, second.complete), (200, complete));
        let text = String::from_utf8_lossy(&second.body);
        assert!(!text.contains("57014"), "{}", &text[text.len().saturating_sub(300)..]);
        assert_eq!(second.body.len() > 4 << 20, !complete, "{}", second.body.len());
        check_tag(&third.await.unwrap().json(), 3);
        // What had a large answer once does not share a flight any longer, so another connection is made to forget.
        one.end_sessions().await;
    }
}
