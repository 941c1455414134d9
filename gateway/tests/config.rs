//! Configuration: what is read, what wins, and what each mistake is told.

use std::path::PathBuf;
use std::time::Duration;

use onetrip_gateway::{
    AllowedOrigins, Coding, Config, Flags, Host, LogFormat, LogLevel, MetricsListener, TlsMode,
};

const DATABASE: &str = "databases.app.url = 'postgresql://127.0.0.1:5432/app'";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    let text = include_str!("../onetrip.example.toml");
    let example = Config::from_toml(text).unwrap();
    let default = Config::from_toml(DATABASE).unwrap();
    assert_eq!(format!("{example:?}"), format!("{default:?}"));
    // Keys without a default are there as comments.
    let mut uncommented = text.to_owned();
    for key in ["certificate", "key", "token", "response_bytes"] {
        assert!(uncommented.contains(&format!("# {key} = ")), "{key}");
        uncommented = uncommented.replace(&format!("# {key} = "), &format!("{key} = "));
    }
    let error = Config::from_toml(&uncommented).unwrap_err().to_string();
    assert!(error.contains("tls.certificate: /etc/onetrip/server.pem cannot be read"), "{error}");
    assert!(error.contains("tls.key: /etc/onetrip/server.key cannot be read"), "{error}");
}

#[test]
fn a_file_sets_everything() {
    let config = Config::from_toml(
        r#"
        listen = "[::1]:8080"
        drain_delay = "3s"
        drain_timeout = "2m"
        log = "debug"
        log_format = "json"
        log_requests = true
        metrics = { listen = "127.0.0.1:5481", token = "a-secret-of-some-length" }
        compression = { codings = ["gzip", "zstd"], least_bytes = "2 KiB" }
        cors = { allowed_origins = ["https://app.example"] }
        [limits]
        request_bytes = "1 MiB"
        row_bytes = 8192
        response_bytes = "1 GiB"
        header_bytes = "8 KiB"
        headers = 50
        header_timeout = "5s"
        body_timeout = "500ms"
        send_timeout = "1h"
        [databases.app]
        url = "postgresql://db.example:6543/app?sslmode=require"
        pool_size = 3
        pool_timeout = "1s"
        connect_timeout = "2s"
        idle_timeout = "10s"
        max_lifetime = "1h"
        concurrent_logins = 2
        allow_trust = true
        [databases."other one"]
        url = "postgresql:///b?host=/run/postgresql"
        "#,
    )
    .unwrap();
    assert_eq!(config.listen, "[::1]:8080".parse().unwrap());
    assert_eq!((config.drain_timeout, config.log), (Duration::from_secs(120), LogLevel::Debug));
    assert_eq!(config.drain_delay, Duration::from_secs(3));
    assert_eq!((config.log_format, config.log_requests), (LogFormat::Json, true));
    assert_eq!(config.metrics.listener, MetricsListener::Own("127.0.0.1:5481".parse().unwrap()));
    assert!(config.metrics.token.is_some() && !format!("{config:?}").contains("a-secret"));
    assert_eq!(config.compression.codings, [Coding::Gzip, Coding::Zstd]);
    assert_eq!((config.compression.least_bytes, config.limits.response_bytes), (2048, Some(1 << 30)));
    assert_eq!(config.allowed_origins, AllowedOrigins::List(vec!["https://app.example".to_owned()]));
    let limits = &config.limits;
    let sizes = (limits.request_bytes, limits.row_bytes, limits.header_bytes, limits.headers);
    assert_eq!(sizes, (1 << 20, 8192, 8192, 50));
    let times = (limits.header_timeout, limits.body_timeout, limits.send_timeout);
    assert_eq!(times, (Duration::from_secs(5), Duration::from_millis(500), Duration::from_secs(3600)));
    let app = &config.databases["app"];
    assert_eq!((&app.url.host, app.url.port), (&Host::Tcp("db.example".to_owned()), 6543));
    assert_eq!((app.url.database.as_str(), app.url.tls), ("app", TlsMode::Require));
    assert_eq!((app.pool_size, app.concurrent_logins, app.allow_trust), (3, 2, true));
    let times = [app.pool_timeout, app.connect_timeout, app.idle_timeout, app.max_lifetime];
    assert_eq!(times, [1, 2, 10, 3600].map(Duration::from_secs));
    assert_eq!(config.databases["other one"].url.host, Host::Unix(PathBuf::from("/run/postgresql")));
    let any = Config::from_toml(&format!("cors.allowed_origins = ['*']\n{DATABASE}")).unwrap();
    assert_eq!(any.allowed_origins, AllowedOrigins::Any);
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let path = std::env::temp_dir().join(format!("onetrip-config-{}.toml", std::process::id()));
    let text = "listen = '127.0.0.1:1'\nlimits.headers = 11\nlimits.row_bytes = 10000\n[databases.app]\n\
                url = 'postgresql://file/app'\npool_size = 7\n[databases.b]\nurl = 'postgresql://file/b'\n";
    std::fs::write(&path, text).unwrap();
    let environment = variables(&[
        ("ONETRIP_CONFIG", path.to_str().unwrap()),
        ("ONETRIP_LISTEN", "127.0.0.1:2"),
        ("ONETRIP_LIMITS_HEADERS", "22"),
        ("ONETRIP_CORS_ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("ONETRIP_DATABASES", "app=postgresql://environment/app c=postgresql://environment/c"),
        ("ONETRIP_URL", "https://a-client-of-an-endpoint.example"),
        ("PATH", "/bin"),
    ]);
    let mut flags = Flags::default();
    flags.listen = Some("127.0.0.1:3".to_owned());
    flags.log = Some("error".to_owned());
    flags.databases = vec!["c=postgresql://flag/c".to_owned()];
    let config = Config::load(&flags, environment).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((config.listen.port(), config.log), (3, LogLevel::Error));
    assert_eq!((config.limits.headers, config.limits.row_bytes), (22, 10000));
    let AllowedOrigins::List(origins) = &config.allowed_origins else { panic!() };
    assert_eq!(origins.len(), 2);
    let hosts: Vec<String> =
        config.databases.values().map(|database| format!("{:?}", database.url.host)).collect();
    assert_eq!(hosts, ["Tcp(\"environment\")", "Tcp(\"file\")", "Tcp(\"flag\")"]);
    assert_eq!(config.databases["app"].pool_size, 7, "the file still says the rest");
}

#[test]
fn every_mistake_in_a_file_is_told_with_line_key_and_what_is_allowed() {
    for (toml, expected) in [
        ("", "no database is configured"),
        ("", "[databases.app]\n    url = \"postgresql://127.0.0.1:5432/app\"\n    pool_size = 10"),
        ("[databases]", "no database is configured"),
        ("listen = ", "line 1: this is not TOML"),
        ("log_format = 'jsn'", "line 1: log_format: \"jsn\" is no form of a log; did you mean \"json\"?"),
        ("metrics.listen = 'same'", "line 1: metrics.token: this key is missing"),
        (
            "metrics.listen = '9187'",
            "line 1: metrics.listen: \"off\", \"same\" (with metrics.token), or an IP address",
        ),
        ("metrics.token = 'sesame-sesame'", "line 1: metrics.token: at least 16 printable"),
        ("metrics.listn = 'off'", "line 1: metrics.listn: there is no such key; did you mean \"listen\"?"),
        (
            "compression.codings = ['gzip', 'deflate']",
            "line 1: compression.codings: \"deflate\" is no coding",
        ),
        ("limits.response_bytes = 100", "line 1: limits.response_bytes: a size from 8192 to"),
        ("\n\nlisten = '127.0.0.1:1'\nlisten = '127.0.0.1:2'", "line 4: this is not TOML: duplicate key"),
        (
            "[databases.a]\nurl='postgresql://h/a'\n[databases.a]\nurl='postgresql://h/b'",
            "line 3: this is not TOML",
        ),
        ("\nlistn = '127.0.0.1:1'", "line 2: listn: there is no such key; did you mean \"listen\"?"),
        (
            "port = 1",
            "line 1: port: there is no such key; allowed: listen, drain_delay, drain_timeout, log, log_format",
        ),
        ("database.a.url = ''", "line 1: database: there is no such key; did you mean \"databases\"?"),
        ("listen = 5480", "line 1: listen: an IP address and a port are expected"),
        ("listen = '127.0.0.1:65536'", "an IP address and a port are expected"),
        ("drain_timeout = 30", "line 1: drain_timeout: a duration from 0s to 1h with its unit is expected"),
        ("log = 'warning'", "line 1: log: \"warning\" is no log level; did you mean \"warn\"?"),
        ("log = 'loud'", "allowed: off, error, warn, info, debug"),
        ("tls = true", "line 1: tls: a table is expected: [tls]"),
        ("[tls]\ncertificate = '/not/there.pem'", "line 2: tls.certificate: /not/there.pem cannot be read"),
        (
            "[tls]\ncertificate = '/dev/null'",
            "line 2: tls.key: this key is missing: tls.certificate needs it",
        ),
        ("[tls]\nkey = '/dev/null'", "line 2: tls.certificate: this key is missing: tls.key needs it"),
        ("[tls]\ncert = ''", "line 2: tls.cert: there is no such key; did you mean \"certificate\"?"),
        (
            "[cors]\nallowed_origins = 'https://a.example/'",
            "line 2: cors.allowed_origins: \"https://a.example/\" is no origin",
        ),
        ("[cors]\nallowed_origins = [1]", "a list of texts in quotes is expected"),
        ("[cors]\nallowed_origins = ['app.example']", "a scheme, a host in lower case"),
        (
            "[limits]\nrow_byte = 1",
            "line 2: limits.row_byte: there is no such key; did you mean \"row_bytes\"?",
        ),
        ("[limits]\nrow_bytes = 1", "limits.row_bytes: a size from 8192 to 1073741824 bytes is expected"),
        (
            "[limits]\nrequest_bytes = '2 GiB'",
            "limits.request_bytes: a size from 1 to 1073741824 bytes is expected",
        ),
        ("[limits]\nheaders = 1.5", "limits.headers: a text, a whole number"),
        ("[limits]\nheaders = 5", "limits.headers: a whole number from 10 to 1000 is expected"),
        ("databases = 1", "line 1: databases: a table is expected"),
        (
            "databases.app = 'postgresql://h/d'",
            "line 1: databases.app: a table is expected: [databases.app] with url",
        ),
        ("[databases.app]\npool_size = 1", "line 2: databases.app.url: this key is missing"),
        ("[databases.app]", "databases.app.url: this key is missing"),
        ("[databases.app]\nurl = 1", "line 2: databases.app.url: a text in quotes is expected"),
        (
            "[databases.app]\nurl = 'postgresql://u:sesame@h/d'",
            "line 2: databases.app.url: the URL holds a role and a password",
        ),
        ("[databases.app]\nurl = 'postgresql://h:70000/d'", "a port is a number from 1 to 65535"),
        (
            "[databases.app]\nurl = 'postgresql://h/d?sslrootcert=/not/there.pem'",
            "/not/there.pem cannot be read",
        ),
        (
            "[databases.app]\nurl = 'postgresql://h/d'\npoolsize = 1",
            "line 3: databases.app.poolsize: there is no such key; did you mean \"pool_size\"?",
        ),
        (
            "[databases.app]\nurl = 'postgresql://h/d'\npool_size = 0",
            "line 3: databases.app.pool_size: a whole number from 1 to 1000",
        ),
        (
            "[databases.app]\nurl = 'postgresql://h/d'\nallow_trust = 'yes'",
            "databases.app.allow_trust: true or false is expected",
        ),
        (
            "[databases.app]\nurl = 'postgresql://h/d'\nidle_timeout = '0s'",
            "a duration from 1s to 24h with its unit",
        ),
        ("[databases.'']\nurl = 'postgresql://h/d'", "the name of a database is empty"),
    ] {
        let error = Config::from_toml(toml).map(|_| ()).expect_err(toml).to_string();
        assert!(error.contains(expected), "{toml}\n  gives: {error}\n  not:   {expected}");
        assert!(!error.contains("sesame"), "{error}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let toml = "listn = 1\nlog = 'x'\n[limits]\nheaders = 1\n[databases.a]\npool_size = 0\nurl = 'x'";
    let error = Config::from_toml(toml).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines.len(), 5, "{error}");
    for line in ["line 1", "line 2", "line 4", "line 6", "line 7"] {
        assert!(lines.contains(&line), "{line}: {error}");
    }
}

#[test]
fn mistakes_outside_a_file_are_told_with_their_place() {
    let with_flag = |database: &str| {
        let mut flags = Flags::default();
        flags.databases = database.split(' ').map(str::to_owned).collect();
        flags
    };
    let ok = with_flag("a=postgresql://h/a");
    for (flags, environment, expected) in [
        (
            &ok,
            &[("ONETRIP_LISTEN", "x")][..],
            "the environment variable ONETRIP_LISTEN: listen: an IP address",
        ),
        (
            &ok,
            &[("ONETRIP_LISTN", "x")],
            "the environment variable ONETRIP_LISTN: there is no such variable; did you mean ONETRIP_LISTEN?",
        ),
        (&ok, &[("ONETRIP_DATABASE", "x")], "did you mean ONETRIP_DATABASES?"),
        (
            &ok,
            &[("ONETRIP_CONFIG", "/not/there.toml")],
            "the environment variable ONETRIP_CONFIG: /not/there.toml cannot be read",
        ),
        (
            &ok,
            &[("ONETRIP_DATABASES", "postgresql://u:sesame@h/d")],
            "the environment variable ONETRIP_DATABASES: NAME=URL is expected",
        ),
        (
            &with_flag("a=postgresql://h/a a=postgresql://h/b"),
            &[],
            "the flag --database: databases.a: this database is given twice",
        ),
        (
            &with_flag("a=postgresql://u:sesame@h/a"),
            &[],
            "the flag --database: databases.a.url: the URL holds a role and a password",
        ),
    ] {
        let error = Config::load(flags, variables(environment)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n  not: {expected}");
        assert!(!error.contains("sesame"), "{error}");
    }
}
