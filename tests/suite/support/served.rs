//! A running `helenus serve`, and HTTP as plain as it can be.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Sandbox,
    cli::{Output, Running},
};

/// Longer than anything here takes, shorter than a person waits: what hangs fails.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A server that was ready; killed when dropped.
pub struct Served {
    /// Address of its HTTP server.
    pub address: SocketAddr,
    running: Running,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Fails the test unless the answer has this status.
    #[track_caller]
    pub fn status(self, expected: u16) -> Self {
        assert_eq!(self.status, expected, "{self:#?}\n{}", self.text());
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{self:#?}\n{}", self.text()))
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// `error.code` of a failed request.
    #[track_caller]
    pub fn code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str();
        code.unwrap_or_else(|| panic!("no error.code: {json}"))
            .to_owned()
    }
}

impl Served {
    /// Starts `helenus serve` with these arguments on a free port and waits until it is ready.
    #[track_caller]
    pub fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let served = Self::start_unready(sandbox, arguments);
        served.wait_until_ready();
        served
    }

    /// Starts `helenus serve` with these arguments on a free port and waits until it listens.
    #[track_caller]
    pub fn start_unready(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let first = ["serve", "--serve-listen", "127.0.0.1:0"];
        let running = sandbox.start(&[&first[..], arguments].concat());
        Self::listening(running)
    }

    /// Waits until a started `helenus serve` listens.
    #[track_caller]
    pub fn listening(mut running: Running) -> Self {
        let address = address(&mut running, "serving over HTTP");
        Self { address, running }
    }

    /// Waits until `/ready` answers 200.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let until = Instant::now() + TOO_LONG;
        loop {
            let reply = self.get("/ready");
            if reply.status == 200 {
                return;
            }
            assert!(Instant::now() < until, "never ready: {}", reply.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address that a line of the log names: `address=127.0.0.1:1234`.
    #[track_caller]
    pub fn address_of(&mut self, line: &str) -> SocketAddr {
        address(&mut self.running, line)
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub fn is_running(&mut self) -> bool {
        self.running.is_running()
    }

    /// Sends a signal by its name (`STOP`, `CONT`, `TERM`).
    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.running.stderr_so_far()
    }

    /// kill -9.
    pub fn kill(self) -> Output {
        self.running.kill()
    }

    /// Waits for its end, which a signal must have asked for.
    #[track_caller]
    pub fn finish(self) -> Output {
        self.running.finish()
    }

    /// SIGTERM, and waits for its end.
    #[track_caller]
    pub fn stop(self) -> Output {
        self.signal("TERM");
        self.finish()
    }

    /// One request on a connection of its own. A body gets its `Content-Length`.
    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut stream = self.connect();
        let all = [headers, &[("Connection", "close")]].concat();
        // A server that has heard enough may close before all is sent; its answer says why.
        let sent = stream.write_all(&head(method, path, &all, body.len()));
        let _ = sent.and_then(|()| stream.write_all(body));
        reply(&mut stream).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// A POST with a JSON body.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let json = [("Content-Type", "application/json")];
        self.request("POST", path, &json, body.to_string().as_bytes())
    }

    /// A new connection, for what [`Served::request`] does not do.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        stream.set_write_timeout(Some(TOO_LONG)).unwrap();
        stream
    }
}

/// One request with a JSON body, by a client that lives with failure.
///
/// # Errors
/// No connection, or no whole answer.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TOO_LONG))?;
    let headers = [
        ("Content-Type", "application/json"),
        ("Connection", "close"),
    ];
    stream.write_all(&head(method, path, &headers, body.len()))?;
    stream.write_all(body)?;
    reply(&mut stream)
}

/// The head of a request.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], body: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: helenus\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if body > 0 || method == "POST" {
        head.push_str(&format!("Content-Length: {body}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Reads one answer; the connection can be used further unless it says `Connection: close`.
///
/// # Errors
/// The connection ended before the answer did, or what came is not HTTP.
pub fn reply(stream: &mut impl Read) -> std::io::Result<Reply> {
    let mut reader = Unbuffered(stream);
    let mut lines = Vec::new();
    loop {
        match reader.line()? {
            line if line.is_empty() => break,
            line => lines.push(line),
        }
    }
    let status = lines.first().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("not HTTP: {lines:?}")))?;
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = headers.contains_key("transfer-encoding");
    let length = headers.get("content-length");
    let body = match length.and_then(|length| length.parse().ok()) {
        Some(length) => reader.bytes(length)?,
        None if is_chunked => reader.chunks()?,
        None => Vec::new(),
    };
    Ok(Reply {
        status,
        headers,
        body,
    })
}

/// Reads no further than it must, so that the next answer is still there.
struct Unbuffered<'a, R>(&'a mut R);

impl<R: Read> Unbuffered<'_, R> {
    fn bytes(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.bytes(1)?);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(std::io::Error::other)
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let length = self.line()?;
            let length = usize::from_str_radix(&length, 16).map_err(std::io::Error::other)?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

#[track_caller]
fn address(running: &mut Running, line: &str) -> SocketAddr {
    let until = Instant::now() + TOO_LONG;
    loop {
        let log = running.stderr_so_far();
        // Only whole lines: the port may still be under way.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let found = whole.lines().find(|said| said.contains(line));
        if let Some((_, rest)) = found.and_then(|line| line.split_once("address=")) {
            let address = rest.split(' ').next().unwrap_or_default();
            return address
                .parse()
                .unwrap_or_else(|error| panic!("{address}: {error}"));
        }
        assert!(running.is_running(), "it ended: {log}");
        assert!(Instant::now() < until, "no `{line}` in {log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
