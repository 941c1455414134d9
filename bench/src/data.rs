//! The workloads: synthetic rows, the same at every run, in PostgreSQL's text format.

use std::fmt::Write;

/// One column of a workload.
pub struct Column {
    /// Its name.
    pub name: String,
    /// The OID of its type, from `pg_type.dat`.
    pub type_oid: u32,
    /// The size of its type, −1 where it varies.
    pub type_size: i16,
}

/// One result: what `SELECT` would have returned.
pub struct Workload {
    /// How tables and files name it.
    pub name: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its values, row by row; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

const BOOL: (u32, i16) = (16, 1);
const INT8: (u32, i16) = (20, 8);
const INT4: (u32, i16) = (23, 4);
const TEXT: (u32, i16) = (25, -1);
const FLOAT8: (u32, i16) = (701, 8);
const TIMESTAMPTZ: (u32, i16) = (1184, 8);
const NUMERIC: (u32, i16) = (1700, -1);
const UUID: (u32, i16) = (2950, 16);
const JSONB: (u32, i16) = (3802, -1);

/// All workloads, the three of the targets first.
pub fn workloads() -> Vec<Workload> {
    vec![
        mixed("1x5", &["id", "name", "email", "active", "created_at"], 1, Hardness::Ordinary),
        mixed("100x8", &MIXED[..8], 100, Hardness::Ordinary),
        mixed("10000x10", &MIXED, 10_000, Hardness::Ordinary),
        mixed("100x8-hard", &MIXED[..8], 100, Hardness::Hard),
        mixed("10000x10-hard", &MIXED, 10_000, Hardness::Hard),
        texts("ascii", 1_000, |dice| words(dice, &ASCII_WORDS, 1024)),
        texts("wide", 1_000, |dice| words(dice, &WIDE_WORDS, 1024)),
        numbers("numbers", 10_000),
        documents("jsonb", 1_000),
    ]
}

const MIXED: [&str; 10] =
    ["id", "account_id", "name", "city", "active", "score", "created_at", "settings", "balance", "token"];

/// What the two costly columns hold: it is a matter of taste, and it moves the ratios.
#[derive(Clone, Copy, PartialEq)]
enum Hardness {
    /// Timestamps in the order of the rows, jsonb of two members.
    Ordinary,
    /// Timestamps at random in ten years, jsonb of three members and an array.
    Hard,
}

fn mixed(name: &'static str, columns: &[&str], rows: usize, hardness: Hardness) -> Workload {
    let mut dice = Dice(0x6f6e_6574_7269_7031);
    let columns: Vec<Column> = columns
        .iter()
        .map(|&name| {
            column(
                name,
                match name {
                    "id" => INT4,
                    "account_id" => INT8,
                    "active" => BOOL,
                    "score" => FLOAT8,
                    "created_at" => TIMESTAMPTZ,
                    "settings" => JSONB,
                    "balance" => NUMERIC,
                    "token" => UUID,
                    _ => TEXT,
                },
            )
        })
        .collect();
    let rows = (0..rows)
        .map(|row| columns.iter().map(|column| mixed_value(&mut dice, &column.name, row, hardness)).collect())
        .collect();
    Workload { name, columns, rows }
}

fn mixed_value(dice: &mut Dice, column: &str, row: usize, hardness: Hardness) -> Option<String> {
    Some(match column {
        "id" => (1000 + row).to_string(),
        "account_id" => (dice.below(1 << 40) + (1 << 40)).to_string(),
        "name" => format!("{} {}", dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES)),
        "email" => format!("{}.{}@example.com", dice.pick(&FIRST_NAMES), dice.below(10_000)).to_lowercase(),
        // A tenth is NULL; a quarter of the names is not ASCII.
        "city" if dice.below(10) == 0 => return None,
        "city" => dice.pick(&CITIES).to_owned(),
        "active" => if dice.below(4) == 0 { "f" } else { "t" }.to_owned(),
        "score" if dice.below(20) == 0 => return None,
        "score" => (dice.fraction() * 1000.0).to_string(),
        "created_at" if hardness == Hardness::Hard => {
            let row = usize::try_from(dice.below(10_000)).unwrap_or(0);
            timestamp(dice, row)
        }
        "created_at" => timestamp(dice, row),
        "settings" if hardness == Hardness::Hard => format!(
            "{{\"theme\": \"{}\", \"level\": {}, \"tags\": [\"{}\", \"{}\"]}}",
            dice.pick(&["dark", "light"]),
            dice.below(100),
            dice.pick(&ASCII_WORDS),
            dice.pick(&ASCII_WORDS),
        ),
        "settings" => {
            format!("{{\"theme\": \"{}\", \"level\": {}}}", dice.pick(&["dark", "light"]), dice.below(100),)
        }
        "balance" => format!("{}.{:02}", dice.below(100_000), dice.below(100)),
        "token" => uuid(dice),
        _ => unreachable!("every column of a mixed workload has its values above"),
    })
}

fn texts(name: &'static str, rows: usize, text: impl Fn(&mut Dice) -> String) -> Workload {
    let mut dice = Dice(2);
    let rows = (0..rows).map(|row| vec![Some((row + 1).to_string()), Some(text(&mut dice))]).collect();
    Workload { name, columns: vec![column("id", INT4), column("body", TEXT)], rows }
}

/// Ten int4 columns, five of float8 with all their digits and five of float8 with two decimals.
fn numbers(name: &'static str, rows: usize) -> Workload {
    let mut dice = Dice(3);
    let columns = (0..20).map(|n| column(&format!("n{n}"), if n < 10 { INT4 } else { FLOAT8 })).collect();
    let rows = (0..rows)
        .map(|_| {
            (0..20)
                .map(|n| match n {
                    0..10 => dice.below(1_000_000).to_string(),
                    10..15 => (dice.fraction() * 1000.0).to_string(),
                    _ => format!("{}.{:02}", dice.below(1000), 1 + dice.below(9)),
                })
                .map(Some)
                .collect()
        })
        .collect();
    Workload { name, columns, rows }
}

/// Documents of about 500 bytes, as jsonb prints them.
fn documents(name: &'static str, rows: usize) -> Workload {
    let mut dice = Dice(4);
    let rows = (0..rows)
        .map(|row| {
            let mut text = format!("{{\"id\": {row}, \"items\": [");
            for item in 0..5 {
                let (word, count, price) = (dice.pick(&ASCII_WORDS), dice.below(100), dice.below(10_000));
                let separator = if item == 0 { "" } else { ", " };
                let _ = write!(
                    text,
                    "{separator}{{\"sku\": \"{word}-{price}\", \"count\": {count}, \"price\": {price}.5}}"
                );
            }
            let _ =
                write!(text, "], \"note\": \"{}\", \"open\": true}}", words(&mut dice, &ASCII_WORDS, 220));
            vec![Some((row + 1).to_string()), Some(text)]
        })
        .collect();
    Workload { name, columns: vec![column("id", INT4), column("document", JSONB)], rows }
}

fn column(name: &str, (type_oid, type_size): (u32, i16)) -> Column {
    Column { name: name.to_owned(), type_oid, type_size }
}

/// Words up to exactly `len` bytes of UTF-8, filled up with full stops.
fn words(dice: &mut Dice, list: &[&str], len: usize) -> String {
    let mut text = String::new();
    loop {
        let word = dice.pick(list);
        if text.len() + word.len() + 1 > len {
            text.extend(std::iter::repeat_n('.', len - text.len()));
            return text;
        }
        text.push_str(word);
        text.push(' ');
    }
}

/// Rows are in the order of their creation, some hours apart, as in a table that is read by its key.
fn timestamp(dice: &mut Dice, row: usize) -> String {
    let seconds = row as u64 * 30_000 + dice.below(30_000);
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = 1 + dice.below(999_999);
    let text = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}");
    format!("{}+00", text.trim_end_matches('0'))
}

/// Year, month and day so many days after 2015-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    for year in 2015.. {
        let leap = u64::from(year % 4 == 0);
        for (index, len) in [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate() {
            if days < len {
                return (year, index + 1, days + 1);
            }
            days -= len;
        }
    }
    unreachable!("some year has the day")
}

fn uuid(dice: &mut Dice) -> String {
    let hex = format!("{:016x}{:016x}", dice.next(), dice.next());
    let part = |from, to| hex.get(from..to).expect("it has 32 digits");
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

const FIRST_NAMES: [&str; 8] = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "Niklaus"];
const LAST_NAMES: [&str; 8] =
    ["Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Allen", "Wirth"];
const CITIES: [&str; 8] =
    ["London", "New York", "Zürich", "Rotterdam", "Los Angeles", "Milwaukee", "東京", "Peru"];
const ASCII_WORDS: [&str; 10] =
    ["select", "lightweight", "of", "transaction", "edge", "a", "function", "postgres", "row", "description"];
const WIDE_WORDS: [&str; 8] = ["Größe", "naïve", "база", "данных", "東京", "こんにちは", "😀", "señor"];

/// splitmix64: the same numbers at every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn fraction(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let bits = (self.next() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let index = self.below(list.len() as u64);
        list.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or_default()
    }
}
