//! Connections to `helenus serve` that are not HTTP, that are slow, and that are too many.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    serve_access::{rows, serve},
    serve_attacks::{MAX_GROWTH, SCORE, resident},
    support::{
        Served,
        biopsies::Biopsies,
        served::{Reply, head, reply},
    },
};

#[test]
fn requests_that_are_not_http_end_their_connection_only() {
    let biopsies = Biopsies::scored("attack_heads");
    let served = Served::start(&biopsies.sandbox, &[]);
    let long = format!("GET /live HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(40_000));
    let many: String = (0..200).map(|n| format!("X-{n}: n\r\n")).collect();
    let many = format!("GET /live HTTP/1.1\r\nHost: h\r\n{many}\r\n");
    let smuggled = "POST /v1/jobs/tumour/score HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde";
    let negative = "POST /v1/jobs/tumour/score HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n";
    let chunks = "POST /v1/jobs/tumour/score HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    for (name, bytes, status) in [
        ("long head", long.as_bytes(), 431),
        ("many headers", many.as_bytes(), 431),
        ("two lengths", smuggled.as_bytes(), 400),
        ("negative length", negative.as_bytes(), 400),
        ("broken chunks", chunks.as_bytes(), 400),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        ("null byte", b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
    ] {
        let mut stream = served.connect();
        // A server that has heard enough may close before all is sent.
        let _ = stream.write_all(bytes);
        match reply(&mut stream) {
            Ok(answer) => assert_eq!(answer.status, status, "{name}: {answer:?}"),
            // Closed with bytes unread: the kernel may drop the answer.
            Err(error) => assert!(status == 431, "{name}: {error}"),
        }
        served.get("/live").status(200);
    }
}

/// Sends one byte at a time; whether the server has answered or closed before all is sent.
fn trickle(stream: &mut TcpStream, bytes: &[u8], limit: Duration) -> Option<Reply> {
    let until = Instant::now() + limit;
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    for byte in bytes.iter().cycle() {
        let is_sent = stream.write_all(&[*byte]).is_ok();
        let mut first = [0];
        match stream.peek(&mut first) {
            Ok(0) => return None,
            Ok(_) => break,
            Err(_) if is_sent && Instant::now() < until => {}
            Err(error) => panic!("neither answered nor closed: {error}"),
        }
    }
    stream.set_read_timeout(Some(limit)).unwrap();
    Some(reply(stream).unwrap())
}

#[test]
fn slow_clients_are_cut_and_hold_up_nobody() {
    let biopsies = Biopsies::scored("attack_slow");
    let settings = [
        ("HELENUS_SERVE_CONNECTIONS", "4"),
        ("HELENUS_SERVE_REQUEST_TIMEOUT", "2s"),
    ];
    let served = serve(&biopsies.sandbox, &settings, &[]);
    served.wait_until_ready();
    // Heads that never end take all places; others still get one.
    let mut slow: Vec<TcpStream> = (0..4).map(|_| served.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /live HTTP/1.1\r\nX-Slow: ").unwrap();
    }
    served.post(SCORE, &rows()).status(200);
    let is_closed = |stream: &mut TcpStream| {
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        matches!(stream.read(&mut [0]), Ok(0)) || stream.write_all(b"x").is_err()
    };
    assert!(
        slow.iter_mut().any(is_closed),
        "all slow clients kept their places"
    );
    drop(slow);

    // A body that trickles is given up after the request's time.
    let mut stream = served.connect();
    stream
        .write_all(&head("POST", SCORE, &[], 100_000))
        .unwrap();
    let answer = trickle(&mut stream, b" ", Duration::from_secs(60));
    let answer = answer.expect("an answer").status(408);
    assert_eq!(answer.code(), "request.late");
    served.post(SCORE, &rows()).status(200);
}

#[test]
fn idle_connections_make_room_for_others() {
    let biopsies = Biopsies::scored("attack_idle");
    let settings = [("HELENUS_SERVE_CONNECTIONS", "64")];
    let served = serve(&biopsies.sandbox, &settings, &[]);
    served.wait_until_ready();
    let before = resident(&served);
    let mut polite = served.connect();
    polite.write_all(&head("GET", "/live", &[], 0)).unwrap();
    reply(&mut polite).unwrap().status(200);
    let idle: Vec<TcpStream> = (0..1000).map(|_| served.connect()).collect();
    for _ in 0..20 {
        served.post(SCORE, &rows()).status(200);
    }
    let text = served.get("/metrics").status(200).text();
    let open = text
        .lines()
        .find_map(|line| line.strip_prefix("helenus_http_connections "));
    let open: f64 = open.unwrap().parse().unwrap();
    assert!((1.0..=64.0).contains(&open), "{open}");
    let after = resident(&served);
    assert!(after < before + MAX_GROWTH, "from {before} to {after} KiB");
    drop(idle);
    served.post(SCORE, &rows()).status(200);
}
