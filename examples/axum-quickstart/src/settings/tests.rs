use std::path::Path;

use clap::CommandFactory;

use super::*;

/// As if no variable were set: a value on the command line wins over the environment.
fn parse(words: &[&str]) -> Arguments {
    let mut defaults = vec!["x", "--listen=127.0.0.1:0", "--log=info"];
    for none in ["--database=", "--redis="] {
        if !words.iter().any(|word| word.starts_with(none)) {
            defaults.push(none);
        }
    }
    Arguments::command().debug_assert();
    Arguments::try_parse_from(defaults.iter().chain(words)).unwrap()
}

#[test]
fn the_defaults_work() {
    let settings = parse(&[]).check().unwrap();
    assert!(matches!(settings.place, Place::Folder(folder) if folder == Path::new("chat-data")));
    assert_eq!(settings.token_lifetime, Duration::from_secs(3_600));
    assert_eq!(settings.max_body_chars, 1_000);
    assert_eq!(settings.drain_window, Duration::from_secs(2));
    assert_eq!(settings.rate_limits, RateLimits::default());
    let unlimited = parse(&["--no-rate-limits"]).check().unwrap();
    assert_eq!(unlimited.rate_limits, RateLimits::unlimited());
}

#[test]
fn in_memory_there_is_no_folder() {
    assert!(matches!(parse(&["--memory"]).check().unwrap().place, Place::Memory));
    let both = parse(&["--memory", "--data=elsewhere"]).check().err().unwrap().to_string();
    assert!(both.contains("--data: with --memory"), "{both}");
}

#[test]
fn a_database_stands_alone_and_its_password_never_shows() {
    let url = "--database=postgres://ann:hidden@db/talk";
    for more in [&["--schema=talk"][..], &[]] {
        let settings = parse(&[&[url], more].concat()).check().unwrap();
        assert!(matches!(settings.place, Place::Database(_)));
    }
    for (words, said) in [
        (&[url, "--memory"][..], "leave out one of --memory and DATABASE_URL"),
        (&[url, "--data=elsewhere"], "leave out one of --data and DATABASE_URL"),
        (&["--schema=talk"], "--schema: there is none without a database"),
        (&["--database=mysql:hidden"], "--database: not a URL of a PostgreSQL database"),
    ] {
        let problem = parse(words).check().err().unwrap().to_string();
        assert!(problem.contains(said) && !problem.contains("hidden"), "{problem}");
    }
    assert!(matches!(parse(&["--database="]).check().unwrap().place, Place::Folder(_)), "empty is none");
}

#[test]
fn redis_goes_with_any_store_and_its_password_never_shows() {
    let url = "--redis=redis://:hidden@cache:6380";
    for store in ["--memory", "--data=elsewhere", "--database=postgres://ann@db/talk"] {
        let redis = parse(&[url, store]).check().unwrap().redis.unwrap();
        assert_eq!(redis.to_string(), "Redis at cache:6380, prefix chat");
    }
    let redis = parse(&[url, "--redis-prefix=tea"]).check().unwrap().redis.unwrap();
    assert_eq!(redis.to_string(), "Redis at cache:6380, prefix tea");
    for (words, said) in [
        (&["--redis-prefix=tea"][..], &["--redis-prefix: there is none without Redis"][..]),
        (&["--redis=mysql:hidden"], &["--redis: not a URL of Redis"]),
        (&[url, "--redis-prefix={a}"], &["--redis-prefix: must be of letters"]),
        (&["--redis=redis://:hidden@h:x/", "--redis-prefix={a}"], &["--redis: ", "--redis-prefix: "]),
    ] {
        let problem = parse(words).check().err().unwrap().to_string();
        assert!(said.iter().all(|said| problem.contains(said)), "{problem}");
        assert!(!problem.contains("hidden"), "{problem}");
    }
    assert!(parse(&["--redis="]).check().unwrap().redis.is_none(), "empty is none");
}

#[test]
fn a_hot_log_is_in_redis_and_in_front_of_a_database() {
    let (redis, database) = ("--redis=redis://:hidden@cache", "--database=postgres://ann:hidden@db/talk");
    assert!(parse(&[redis, database]).check().unwrap().hot_log.is_none(), "only where it is asked for");
    for more in [&["--hot-log"][..], &["--hot-log", "--hot-replicas=2"]] {
        assert!(parse(&[&[redis, database], more].concat()).check().unwrap().hot_log.is_some());
    }
    let (no_redis, no_database) =
        ("--hot-log: it is in Redis;", "--hot-log: it stands in front of a database;");
    let (no_number, no_log) =
        ("--hot-replicas: \"0\" is not a number", "--hot-replicas: nothing waits for them");
    for (words, said) in [
        (&["--hot-log"][..], &[no_redis, no_database][..]),
        (&["--hot-log", database], &[no_redis]),
        (&["--hot-log", redis, "--memory"], &[no_database]),
        (&["--hot-log", redis, database, "--hot-replicas=0"], &[no_number]),
        (&[redis, database, "--hot-replicas=0"], &[no_number, no_log]),
    ] {
        let problem = parse(words).check().err().unwrap().to_string();
        assert_eq!(problem.lines().count(), said.len() + 1, "{problem}");
        assert!(said.iter().all(|said| problem.contains(said)), "{problem}");
        assert!(!problem.contains("hidden"), "{problem}");
    }
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let mut arguments = parse(&[
        "--secret=short",
        "--token-lifetime=1s",
        "--max-body-chars=0",
        "--room-rate=0",
        "--redis=nowhere",
        "--hot-log",
        "--hot-replicas=many",
    ]);
    arguments.listen = "nowhere".to_owned();
    arguments.log = "a=b=c".to_owned();
    arguments.drain_window = "soon".to_owned();
    let text = arguments.check().err().unwrap().to_string();
    for name in [
        "listen",
        "redis",
        "hot-log",
        "hot-replicas",
        "secret",
        "token-lifetime",
        "log",
        "max-body-chars",
        "room-rate",
        "drain-window",
    ] {
        assert!(text.contains(&format!("\n  --{name}: ")), "{name} in {text}");
    }
    assert!(!text.contains("short"), "the secret shows in {text}");
}

#[test]
fn help_does_not_show_a_secret_from_the_environment() {
    let help = Arguments::command().render_long_help().to_string();
    for name in ["CHAT_SECRET", "DATABASE_URL", "REDIS_URL"] {
        assert!(help.contains(name) && !help.contains(&format!("{name}=")), "{help}");
    }
}
