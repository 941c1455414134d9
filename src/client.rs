//! The client: statements in, rows out, one request each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::frontend;
use postgres_types::{BorrowToSql, ToSql, Type};

use crate::answer::{Expected, Shape};
use crate::catalogue::Known;
use crate::effect::Effect;
use crate::exchange::{Endpoint, Pipeline, Settings, milliseconds};
use crate::metrics::Metrics;
use crate::policy::Repeat;
use crate::transport::Transport;
use crate::{
    Batch, Config, Error, FromRow, Kind, Row, RowStream, StatementResult, Transaction, catalogue, parameter,
};

/// A client of one database. It holds no connection: every call is one HTTP request, and the endpoint keeps the
/// connections to PostgreSQL warm.
///
/// Cloning is cheap, and so is keeping one for the life of a program or of a Worker's isolate.
///
/// No session state survives a call: what belongs together goes into one [`transaction`](Client::transaction) or
/// [`batch`](Client::batch).
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), onetrip::Error> {
/// let client = onetrip::Client::connect("https://app:secret@db.example.com/shop")?;
/// let row = client.query_one("select name from users where id = $1", &[&7i64]).await?;
/// let name: &str = row.get("name");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    endpoint: Arc<Endpoint>,
    settings: Settings,
}

impl Client {
    /// A client for `https://role:password@host[:port]/database`, by the transport of this target: JavaScript's `fetch` on
    /// wasm32 (feature `fetch`), hyper elsewhere (feature `native`). It opens nothing: the first call does.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the URL cannot work; the text says which part, and shows no credentials.
    ///
    /// # Examples
    /// ```
    /// let client = onetrip::Client::connect("https://app:secret@db.example.com/shop")?;
    /// assert!(onetrip::Client::connect("https://db.example.com/shop").is_err(), "it names no role");
    /// # Ok::<(), onetrip::Error>(())
    /// ```
    #[cfg(any(
        all(feature = "fetch", target_arch = "wasm32"),
        all(feature = "native", not(target_arch = "wasm32"))
    ))]
    pub fn connect(url: &str) -> Result<Client, Error> {
        Ok(Client::new(url.parse()?))
    }

    /// A client for a configuration, by the transport of this target, as [`connect`](Client::connect).
    #[cfg(any(
        all(feature = "fetch", target_arch = "wasm32"),
        all(feature = "native", not(target_arch = "wasm32"))
    ))]
    pub fn new(config: Config) -> Client {
        Client::with_transport(config, crate::transport::standard())
    }

    /// A client by a transport of your own.
    pub fn with_transport(config: Config, transport: impl Transport) -> Client {
        let types = Arc::default();
        let settings =
            Settings { timeout_ms: config.timeout.map(milliseconds), repeat: Repeat::Forbidden, types };
        Client { endpoint: Arc::new(Endpoint::new(config, transport)), settings }
    }

    /// The same client with another timeout: how long a call may take, all attempts and waits together.
    ///
    /// # Examples
    /// ```
    /// # let client = onetrip::Client::connect("https://app:secret@db.example.com/shop")?;
    /// let patient = client.timeout(std::time::Duration::from_secs(120));
    /// # Ok::<(), onetrip::Error>(())
    /// ```
    pub fn timeout(&self, timeout: Duration) -> Client {
        self.with(Settings { timeout_ms: Some(milliseconds(timeout)), ..self.settings.clone() })
    }

    /// The same client for statements that may run twice, because they only read or because their effect is the same
    /// twice. What may have been executed and got no answer is then sent again, as the policy allows.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let users = client.repeatable().query("select id, name from users", &[]).await?;
    /// # Ok(()) }
    /// ```
    pub fn repeatable(&self) -> Client {
        self.with(Settings { repeat: Repeat::Allowed, ..self.settings.clone() })
    }

    /// The same client, knowing types that are not built in: derived enums and composites then go as parameters of any
    /// call, in one round trip.
    ///
    /// A type with the OID 0 is a parameter whose type PostgreSQL infers from its place; one with the OID that it has in
    /// this database is declared, and is the type of columns, too.
    /// [`look_up_types`](Self::look_up_types) asks the database for them.
    ///
    /// # Examples
    /// ```no_run
    /// use onetrip::types::{Kind, ToSql, Type};
    ///
    /// #[derive(Debug, ToSql)]
    /// #[postgres(name = "mood", rename_all = "snake_case")]
    /// enum Mood { Sad, Happy }
    ///
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let labels = vec!["sad".into(), "happy".into()];
    /// let client = client.with_types([Type::new("mood".into(), 0, Kind::Enum(labels), "public".into())]);
    /// client.execute("update users set mood = $1", &[&Mood::Happy]).await?;
    /// # Ok(()) }
    /// ```
    pub fn with_types(&self, types: impl IntoIterator<Item = Type>) -> Client {
        let types = catalogue::merged(&self.settings.types, types);
        self.with(Settings { types, ..self.settings.clone() })
    }

    /// The same client, knowing these types of the database (`mood` or `public.mood`), what they are made of, and the
    /// arrays of all of them. It asks once, in one request; keep the client that it gives.
    ///
    /// Needed for derived composites and domains as parameters, composites and ranges of your own as results, and derived
    /// enums as parameters. A derived enum reads from a result without it.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the database has no such type; else as [`query`](Client::query).
    ///
    /// # Examples
    /// ```no_run
    /// # #[derive(Debug, onetrip::types::ToSql, onetrip::types::FromSql)]
    /// #[postgres(name = "point3")]
    /// struct Point3 { x: f64, y: f64, z: f64 }
    ///
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let client = client.look_up_types(&["point3"]).await?;
    /// let place = Point3 { x: 1.0, y: 2.0, z: 0.0 };
    /// let row = client.query_one("insert into places (place) values ($1) returning place", &[&place]).await?;
    /// let place: Point3 = row.get("place");
    /// # Ok(()) }
    /// ```
    pub async fn look_up_types(&self, names: &[&str]) -> Result<Client, Error> {
        Ok(self.with_types(catalogue::look_up(self, names).await?))
    }

    /// What the calls of this client and its clones have cost since it was made.
    pub fn metrics(&self) -> Metrics {
        self.endpoint.counters().snapshot()
    }

    fn with(&self, settings: Settings) -> Client {
        Client { endpoint: self.endpoint.clone(), settings }
    }

    /// Runs a statement and gives its rows.
    ///
    /// Parameters need no type and no round trip of their own: see [the crate's page](crate#parameters).
    ///
    /// # Errors
    /// See [`Kind`]; for an error of PostgreSQL [`Error::as_db_error`] has every field.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// for row in client.query("select id, name from users where name = any($1)", &[&vec!["Ada", "Max"]]).await? {
    ///     println!("{}: {}", row.get::<_, i64>("id"), row.get::<_, &str>("name"));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        Ok(only(self.run(self.query_pipeline(sql, parameters)?).await?).into_rows())
    }

    /// Runs a statement and gives its rows as tuples or structs: see [`FromRow`](trait@crate::FromRow).
    ///
    /// # Errors
    /// As [`query`](Client::query), and [`Kind::Decode`] for a row that is none of `T`.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let users: Vec<(i64, String)> = client.query_as("select id, name from users", &[]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn query_as<T>(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<T>, Error>
    where
        T: for<'a> FromRow<'a>,
    {
        let rows = self.query(sql, parameters).await?;
        rows.iter().map(T::from_row).collect()
    }

    /// Runs a statement that gives exactly one row.
    ///
    /// # Errors
    /// As [`query`](Client::query), and [`Kind::RowCount`] for none or several; the statement has then run.
    pub async fn query_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        exactly_one(only(self.run(self.query_pipeline(sql, parameters)?).await?).into_rows())
    }

    /// Runs a statement that gives at most one row.
    ///
    /// # Errors
    /// As [`query`](Client::query), and [`Kind::RowCount`] for several; the statement has then run.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// match client.query_opt("select name from users where id = $1", &[&7i64]).await? {
    ///     Some(row) => println!("{}", row.get::<_, &str>("name")),
    ///     None => println!("there is no such user"),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn query_opt(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        at_most_one(only(self.run(self.query_pipeline(sql, parameters)?).await?).into_rows())
    }

    /// Runs a statement and gives its rows as they arrive, a result of any size through a little memory.
    ///
    /// It returns when the columns are known, or when PostgreSQL has refused the statement. The client's timeout holds for
    /// that, and then for each wait for more rows; [`Config::response_limit_bytes`] limits one row. What has begun to
    /// arrive is never sent again.
    ///
    /// # Errors
    /// As [`query`](Client::query).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let mut rows = client.query_raw("select * from generate_series(1, $1)", [1_000_000i32]).await?;
    /// let mut sum = 0;
    /// while let Some(row) = rows.next().await {
    ///     sum += i64::from(row?.get::<_, i32>(0));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn query_raw<P, I>(&self, sql: &str, parameters: I) -> Result<RowStream, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = P>,
    {
        let parameters: Vec<P> = parameters.into_iter().collect();
        let borrowed = parameters.iter().map(BorrowToSql::borrow_to_sql);
        let pipeline = self.statement(sql, borrowed, Shape::Stream)?;
        Ok(RowStream::new(self.endpoint.open(&self.settings, pipeline).await?))
    }

    /// Runs a statement whose parameters have the types that you name, and gives its rows.
    ///
    /// A type that is not built in has another OID in each database: give 0, and PostgreSQL infers the type from its
    /// place.
    ///
    /// # Errors
    /// As [`query`](Client::query).
    ///
    /// # Examples
    /// A derived enum, whose type is known only by its name and its labels:
    /// ```no_run
    /// use postgres_types::{Kind, ToSql, Type};
    ///
    /// #[derive(Debug, ToSql)]
    /// #[postgres(name = "mood", rename_all = "snake_case")]
    /// enum Mood { Sad, Happy }
    ///
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let mood = Type::new("mood".into(), 0, Kind::Enum(vec!["sad".into(), "happy".into()]), "public".into());
    /// let rows = client.query_typed("select name from users where mood = $1", &[(&Mood::Happy, mood)]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn query_typed(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let mut frames = Vec::new();
        parameter::typed_statement(&mut frames, sql, parameters)?;
        Ok(only(self.run(pipeline(frames, sql, Shape::Statement)).await?).into_rows())
    }

    /// Runs a statement and gives the number of rows that it inserted, updated, deleted or selected; 0 for other commands.
    ///
    /// # Errors
    /// As [`query`](Client::query).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let deleted = client.execute("delete from carts where updated < now() - interval '30 days'", &[]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        Ok(only(self.run(self.query_pipeline(sql, parameters)?).await?).row_count())
    }

    /// Runs a script: any number of statements without parameters, divided by semicolons. Their rows are dropped.
    ///
    /// It is one transaction unless it has BEGIN and COMMIT of its own. A script is never sent again after PostgreSQL has
    /// seen it.
    ///
    /// # Errors
    /// As [`query`](Client::query).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// client.batch_execute("create table a (id int8); create table b (id int8)").await?;
    /// # Ok(()) }
    /// ```
    pub async fn batch_execute(&self, script: &str) -> Result<(), Error> {
        let mut frames = Vec::new();
        frontend::query(&mut frames, script)
            .map_err(|error| Error::usage(format!("the script cannot be sent: {}", error.detail())))?;
        let expected = Expected { shape: Shape::Script, effect: Effect::Open };
        self.run(Pipeline { frames: Bytes::from_owner(frames), expected }).await?;
        Ok(())
    }

    /// Begins an atomic transaction of unlike statements, known when it is written; each result keeps its type.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client) -> Result<(), onetrip::Error> {
    /// let (moved, balance) = client
    ///     .transaction()
    ///     .execute("update accounts set cents = cents - $1 where id = $2", &[&500i64, &1i64])
    ///     .query_one("update accounts set cents = cents + $1 where id = $2 returning cents", &[&500i64, &2i64])
    ///     .commit()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn transaction(&self) -> Transaction<()> {
        Transaction::new(self.batch())
    }

    /// Begins an atomic transaction of statements that are known only when it runs.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(client: onetrip::Client, names: &[String]) -> Result<(), onetrip::Error> {
    /// let mut batch = client.batch();
    /// for name in names {
    ///     batch = batch.statement("insert into users (name) values ($1)", &[name]);
    /// }
    /// let inserted: u64 = batch.commit().await?.iter().map(|result| result.row_count()).sum();
    /// # Ok(()) }
    /// ```
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    pub(crate) fn types(&self) -> &[Known] {
        &self.settings.types
    }

    // Hands the future on: one that waits for it would be another layer of code.
    pub(crate) fn run(
        &self,
        pipeline: Pipeline,
    ) -> impl Future<Output = Result<Vec<StatementResult>, Error>> {
        self.endpoint.run(&self.settings, pipeline)
    }

    /// One statement, its parameters encoded.
    fn statement<'a>(
        &self,
        sql: &str,
        parameters: impl IntoIterator<Item = &'a dyn ToSql>,
        shape: Shape,
    ) -> Result<Pipeline, Error> {
        let mut frames = Vec::new();
        parameter::statement(&mut frames, sql, parameters, self.types())?;
        Ok(pipeline(frames, sql, shape))
    }

    fn query_pipeline(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Pipeline, Error> {
        self.statement(sql, parameters.iter().map(|value| *value as &dyn ToSql), Shape::Statement)
    }
}

/// The result of a statement that was sent alone.
fn only(mut results: Vec<StatementResult>) -> StatementResult {
    results.pop().expect("the answer was checked to have one result")
}

/// One statement, encoded and not yet ended by a Sync.
fn pipeline(mut frames: Vec<u8>, sql: &str, shape: Shape) -> Pipeline {
    frontend::sync(&mut frames);
    let expected = Expected { shape, effect: Effect::of(sql) };
    Pipeline { frames: Bytes::from_owner(frames), expected }
}

impl fmt::Debug for Client {
    /// Shows no password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("config", self.endpoint.config()).finish_non_exhaustive()
    }
}

pub(crate) fn exactly_one(rows: Vec<Row>) -> Result<Row, Error> {
    at_most_one(rows)?
        .ok_or_else(|| row_count("no row, where exactly one was asked for; query_opt takes none, too"))
}

pub(crate) fn at_most_one(rows: Vec<Row>) -> Result<Option<Row>, Error> {
    let count = rows.len();
    let mut rows = rows.into_iter();
    let first = rows.next();
    match rows.next() {
        None => Ok(first),
        Some(_) => Err(row_count(&format!("{count} rows, where one was asked for; query takes all of them"))),
    }
}

fn row_count(found: &str) -> Error {
    Error::new(Kind::RowCount, format!("the statement ran and gave {found}"))
}
