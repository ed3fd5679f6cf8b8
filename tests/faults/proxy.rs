//! A proxy between helenus and Cassandra that knows where frames of the native protocol begin and
//! end, and what statement each answer is about. On one node the driver takes its own contact
//! port for the node's, so that all its connections come through here.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use crate::support::{block_on, cassandra};

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing unusual.
    None,
    /// Cassandra carries it out, and its answer is lost.
    DropResponse,
    /// It never arrives.
    DropRequest,
    /// Its answer comes late.
    Delay(Duration),
    /// Half of its answer comes, and the connection breaks.
    CutResponse,
    /// The connection breaks before it arrives.
    Close,
}

/// Asked for each statement (its CQL; for a batch that of its first).
type Rule = Box<dyn FnMut(&str) -> Fault + Send>;

struct Shared {
    rule: Rule,
    /// Prepared ids, which the server derives from keyspace and text.
    prepared: HashMap<Vec<u8>, String>,
    /// Statements that came by.
    statements: Vec<String>,
    /// No connection is let in.
    refusing: bool,
    /// Statements that met a fault.
    faults: usize,
    connections: Vec<JoinHandle<()>>,
}

/// Ends, with all its connections, when dropped.
pub struct Proxy {
    pub contact: String,
    shared: Arc<Mutex<Shared>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// In front of the Cassandra under test.
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            rule: Box::new(|_| Fault::None),
            prepared: HashMap::new(),
            statements: Vec::new(),
            refusing: false,
            faults: 0,
            connections: Vec::new(),
        }));
        let sharing = Arc::clone(&shared);
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let contact = listener.local_addr().unwrap().to_string();
            let listening = tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    let sharing = Arc::clone(&sharing);
                    if lock(&sharing).refusing {
                        continue;
                    }
                    let serving = tokio::spawn(serve(near, Arc::clone(&sharing)));
                    lock(&sharing).connections.push(serving);
                }
            });
            Self {
                contact,
                shared,
                listening,
            }
        })
    }

    /// From now on.
    pub fn rule(&self, rule: impl FnMut(&str) -> Fault + Send + 'static) {
        let mut shared = lock(&self.shared);
        shared.rule = Box::new(rule);
        shared.faults = 0;
    }

    /// The first statement that contains all `words` meets `fault`.
    pub fn once(&self, words: &[&str], fault: Fault) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut met = false;
        self.rule(move |cql| {
            if met || !words.iter().all(|word| cql.contains(word)) {
                return Fault::None;
            }
            met = true;
            fault
        });
    }

    /// Lets connections in, or breaks those there are and lets none in.
    pub fn refuse(&self, refuse: bool) {
        let mut shared = lock(&self.shared);
        shared.refusing = refuse;
        if refuse {
            shared.connections.drain(..).for_each(|task| task.abort());
        }
    }

    /// How many statements met a fault since the rule was set.
    pub fn faults(&self) -> usize {
        lock(&self.shared).faults
    }

    /// What came by since this was last asked.
    pub fn statements(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared).statements)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        lock(&self.shared)
            .connections
            .drain(..)
            .for_each(|task| task.abort());
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

// Native protocol v4, sections 2 and 4.
const HEADER: usize = 9;
const QUERY: u8 = 0x07;
const RESULT: u8 = 0x08;
const PREPARE: u8 = 0x09;
const EXECUTE: u8 = 0x0A;
const BATCH: u8 = 0x0D;

struct Frame(Vec<u8>);

impl Frame {
    async fn read(from: &mut OwnedReadHalf) -> io::Result<Self> {
        let mut bytes = vec![0; HEADER];
        from.read_exact(&mut bytes).await?;
        assert_eq!(
            bytes[1] & 1,
            0,
            "a compressed frame: set HELENUS_COMPRESSION=none"
        );
        let length = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) as usize;
        bytes.resize(HEADER + length, 0);
        from.read_exact(&mut bytes[HEADER..]).await?;
        Ok(Self(bytes))
    }

    fn stream(&self) -> [u8; 2] {
        [self.0[2], self.0[3]]
    }

    fn opcode(&self) -> u8 {
        self.0[4]
    }

    fn body(&self) -> &[u8] {
        &self.0[HEADER..]
    }

    /// The statement of a request; `None` for those without one, such as OPTIONS.
    fn statement(&self, prepared: &HashMap<Vec<u8>, String>) -> Option<String> {
        let body = self.body();
        let by_id = |bytes: &[u8]| {
            let id = short_bytes(bytes)?;
            Some(prepared.get(id).cloned().unwrap_or_default())
        };
        match self.opcode() {
            QUERY => long_string(body),
            EXECUTE => by_id(body),
            // type, number of statements, kind of the first
            BATCH => match body.get(3)? {
                0 => long_string(body.get(4..)?),
                _ => by_id(body.get(4..)?),
            },
            _ => None,
        }
    }
}

fn long_string(bytes: &[u8]) -> Option<String> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    String::from_utf8(bytes.get(4..4 + length)?.to_vec()).ok()
}

fn short_bytes(bytes: &[u8]) -> Option<&[u8]> {
    let length = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
    bytes.get(2..2 + length)
}

/// By stream, what is to become of the next answer.
#[derive(Default)]
struct Awaited {
    preparing: HashMap<[u8; 2], String>,
    faults: HashMap<[u8; 2], Fault>,
}

async fn serve(near: TcpStream, shared: Arc<Mutex<Shared>>) {
    let Ok(far) = TcpStream::connect(cassandra::contact()).await else {
        return;
    };
    // Nagle's algorithm would cost 40 ms a frame.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let awaited = Arc::<Mutex<Awaited>>::default();
    // Either end breaks the connection, whose halves go with the futures.
    tokio::select! {
        _ = requests(near_in, far_out, &shared, &awaited) => {}
        _ = answers(far_in, near_out, &shared, &awaited) => {}
    }
}

fn awaiting(awaited: &Mutex<Awaited>) -> MutexGuard<'_, Awaited> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Mutex<Shared>,
    awaited: &Mutex<Awaited>,
) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut from).await?;
        let stream = frame.stream();
        if frame.opcode() == PREPARE
            && let Some(cql) = long_string(frame.body())
        {
            awaiting(awaited).preparing.insert(stream, cql);
        }
        let fault = {
            let mut shared = lock(shared);
            match frame.statement(&shared.prepared) {
                None => Fault::None,
                Some(cql) => {
                    let fault = (shared.rule)(&cql);
                    shared.faults += usize::from(fault != Fault::None);
                    shared.statements.push(cql);
                    fault
                }
            }
        };
        match fault {
            Fault::DropRequest => continue,
            Fault::Close => return Ok(()),
            fault => awaiting(awaited).faults.insert(stream, fault),
        };
        to.write_all(&frame.0).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    shared: &Mutex<Shared>,
    awaited: &Mutex<Awaited>,
) -> io::Result<()> {
    let to = Arc::new(tokio::sync::Mutex::new(to));
    loop {
        let frame = Frame::read(&mut from).await?;
        let (preparing, fault) = {
            let mut awaited = awaiting(awaited);
            let stream = frame.stream();
            (
                awaited.preparing.remove(&stream),
                awaited.faults.remove(&stream),
            )
        };
        if let Some(cql) = preparing
            && frame.opcode() == RESULT
            // A result's kind 4: Prepared, then the id.
            && frame.body().starts_with(&[0, 0, 0, 4])
            && let Some(id) = short_bytes(&frame.body()[4..])
        {
            lock(shared).prepared.insert(id.to_vec(), cql);
        }
        match fault.unwrap_or(Fault::None) {
            Fault::DropResponse => {}
            Fault::CutResponse => {
                let mut to = to.lock().await;
                to.write_all(&frame.0[..frame.0.len() / 2]).await?;
                return to.flush().await;
            }
            Fault::Delay(pause) => {
                // Later answers overtake it.
                let to = Arc::clone(&to);
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    let _ = to.lock().await.write_all(&frame.0).await;
                });
            }
            _ => to.lock().await.write_all(&frame.0).await?,
        }
    }
}
