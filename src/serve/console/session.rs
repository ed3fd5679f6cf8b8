//! Who is logged in, and which forms they were given.
//!
//! Sessions are kept in memory, by the hash of the cookie: they end with the process. Each request
//! looks their token up again, so that a revoked or expired one is refused at once. The forms of a
//! session are kept with it, with the state that the reader saw: what the browser sends back is
//! only a form's name, and it is good for one answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::actions::Act;
use crate::serve::{caller::Caller, tokens::Tokens};

/// Name of the cookie. The prefix has browsers accept it only with Secure, for this host, for `/`.
const COOKIE: &str = "__Host-helenus";
/// Sessions that are kept; beyond that the one that was used least recently ends.
const SESSIONS: usize = 4_096;
/// Forms that a session keeps; beyond that the oldest is forgotten.
const FORMS: usize = 64;
/// Time after which a form is too old to be sent.
const FORM_AGE: Duration = Duration::from_secs(3_600);

/// A random name that only its owner knows.
type Secret = [u8; 32];

/// The sessions of this process.
pub struct Sessions {
    all: Mutex<HashMap<Secret, Session>>,
    lifetime: Duration,
}

struct Session {
    /// SHA-256 of the token; `None`: callers need no token.
    token: Option<[u8; 32]>,
    began: Instant,
    used: Instant,
    /// Name of the form that logs out.
    logout: Secret,
    forms: VecDeque<(Secret, GivenForm)>,
}

/// A form that was given to a reader.
#[derive(Debug, Clone)]
struct GivenForm {
    act: Act,
    given: Instant,
    /// The request that it makes, from the first attempt on: a second attempt makes no second one.
    request: Option<Uuid>,
    /// Where its answer is, once it was sent.
    sent: Option<String>,
}

/// A session of a request.
#[derive(Debug, Clone)]
pub struct Login {
    key: Secret,
    pub caller: Arc<Caller>,
    /// Name of the form that logs out.
    pub logout: String,
}

/// Why a form is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormRefusal {
    /// The session was given no such form, or long ago.
    Unknown,
    /// It was sent already; the answer is there.
    Sent(String),
}

impl Sessions {
    /// Returns no sessions; each will last this long at most.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            all: Mutex::default(),
            lifetime,
        }
    }

    /// Begins a session; returns it, and the header that gives the browser its cookie. `token`:
    /// SHA-256 of the token; `None` where callers need no token.
    pub fn begin(&self, token: Option<[u8; 32]>, caller: Arc<Caller>) -> (Login, String) {
        let (cookie, logout): (Secret, Secret) = (rand::random(), rand::random());
        let now = Instant::now();
        let session = Session {
            token,
            began: now,
            used: now,
            logout,
            forms: VecDeque::new(),
        };
        let mut all = self.lock();
        all.retain(|_, session| session.began.elapsed() < self.lifetime);
        if all.len() >= SESSIONS {
            let oldest = all.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(key, _)| *key);
            oldest.and_then(|key| all.remove(&key));
        }
        let key = hash(&hex::encode(cookie));
        all.insert(key, session);
        let seconds = self.lifetime.as_secs();
        let header = format!(
            "{COOKIE}={}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict",
            hex::encode(cookie)
        );
        let login = Login {
            key,
            caller,
            logout: hex::encode(logout),
        };
        (login, header)
    }

    /// Returns the session of a request, if it has one that goes on and its token is accepted.
    pub fn find(&self, headers: &HeaderMap, tokens: &Tokens) -> Option<Login> {
        let key = hash(cookie(headers)?);
        let mut all = self.lock();
        let session = all.get_mut(&key)?;
        let caller = match session.token {
            Some(digest) if !tokens.accepts_anyone() => tokens.of_digest(&digest).ok(),
            None if tokens.accepts_anyone() => tokens.caller(None).ok(),
            _ => None,
        };
        let Some(caller) = caller.filter(|_| session.began.elapsed() < self.lifetime) else {
            all.remove(&key);
            return None;
        };
        session.used = Instant::now();
        Some(Login {
            key,
            caller,
            logout: hex::encode(session.logout),
        })
    }

    /// Ends a session, if `form` is the name of its form that logs out. Returns whether it was.
    pub fn end(&self, login: &Login, form: &str) -> bool {
        let is_own = login.logout == form;
        if is_own {
            self.lock().remove(&login.key);
        }
        is_own
    }

    /// Gives a session a form; returns the form's name.
    pub fn give_form(&self, login: &Login, act: Act) -> String {
        let name: Secret = rand::random();
        if let Some(session) = self.lock().get_mut(&login.key) {
            if session.forms.len() >= FORMS {
                session.forms.pop_front();
            }
            let form = GivenForm {
                act,
                given: Instant::now(),
                request: None,
                sent: None,
            };
            session.forms.push_back((hash(&hex::encode(name)), form));
        }
        hex::encode(name)
    }

    /// Takes a form that is sent, with the id of the request that it makes. `answer` says where its
    /// answer will be.
    ///
    /// # Errors
    /// The session has no such form, or it was sent already.
    pub fn send_form(
        &self,
        login: &Login,
        name: &str,
        answer: impl FnOnce(&Act, Uuid) -> String,
    ) -> Result<(Act, Uuid), FormRefusal> {
        let mut all = self.lock();
        let session = all.get_mut(&login.key).ok_or(FormRefusal::Unknown)?;
        let wanted = hash(name);
        let found = session.forms.iter_mut().find(|(known, _)| *known == wanted);
        let (_, form) = found.ok_or(FormRefusal::Unknown)?;
        if form.given.elapsed() > FORM_AGE {
            return Err(FormRefusal::Unknown);
        }
        if let Some(answer) = &form.sent {
            return Err(FormRefusal::Sent(answer.clone()));
        }
        let request = *form.request.get_or_insert_with(crate::process::timeuuid);
        form.sent = Some(answer(&form.act, request));
        Ok((form.act.clone(), request))
    }

    /// Lets a form be sent again: Cassandra did not answer.
    pub fn reopen_form(&self, login: &Login, name: &str) {
        let wanted = hash(name);
        if let Some(session) = self.lock().get_mut(&login.key)
            && let Some((_, form)) = session.forms.iter_mut().find(|(known, _)| *known == wanted)
        {
            form.sent = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Secret, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the header that takes the cookie away.
pub fn forget_cookie() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict")
}

/// Returns the cookie's value; `None` if there is none, or several.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    });
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

fn hash(text: &str) -> Secret {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn begin(sessions: &Sessions) -> HeaderMap {
        let (_, header) = sessions.begin(None, Arc::new(Caller::anyone()));
        let cookie = header.split(';').next().unwrap();
        let cookie = HeaderValue::from_str(cookie).unwrap();
        [(header::COOKIE, cookie)].into_iter().collect()
    }

    fn login(sessions: &Sessions, tokens: &Tokens) -> Login {
        let headers = begin(sessions);
        sessions.find(&headers, tokens).unwrap()
    }

    fn pausing() -> Act {
        Act::Pause {
            job: "tumour".to_owned(),
            to: true,
        }
    }

    #[test]
    fn a_form_is_good_for_its_session_and_for_one_answer() {
        let (sessions, tokens) = (Sessions::new(FORM_AGE), Tokens::anyone());
        let (one, other) = (login(&sessions, &tokens), login(&sessions, &tokens));
        let form = sessions.give_form(&one, pausing());
        let send = |login: &Login| sessions.send_form(login, &form, |_, _| "/x".to_owned());
        assert_eq!(send(&other).unwrap_err(), FormRefusal::Unknown);
        let (_, first) = send(&one).unwrap();
        assert_eq!(send(&one).unwrap_err(), FormRefusal::Sent("/x".to_owned()));
        sessions.reopen_form(&one, &form);
        let (_, again) = send(&one).unwrap();
        assert_eq!(
            first, again,
            "an unanswered attempt makes no second request"
        );
    }

    #[test]
    fn old_sessions_and_forms_are_gone() {
        let tokens = Tokens::anyone();
        let sessions = Sessions::new(Duration::ZERO);
        let headers = begin(&sessions);
        assert!(sessions.find(&headers, &tokens).is_none());
        let sessions = Sessions::new(FORM_AGE);
        let login = login(&sessions, &tokens);
        let first = sessions.give_form(&login, pausing());
        for _ in 0..FORMS {
            sessions.give_form(&login, pausing());
        }
        let sent = sessions.send_form(&login, &first, |_, _| String::new());
        assert_eq!(sent.unwrap_err(), FormRefusal::Unknown);
    }

    #[test]
    fn two_cookies_of_the_name_count_for_none() {
        let mut headers = HeaderMap::new();
        let two = HeaderValue::from_static("__Host-helenus=a; __Host-helenus=b");
        headers.insert(header::COOKIE, two);
        assert_eq!(cookie(&headers), None);
    }
}
