//! What the backend answers, and what the model is told of it.

use cached_http_core::entry::ClientKind;

use crate::certificates;
use crate::model::{Moment, Sending};
use crate::steps::{Answer, FIELDS, Flaw, NAMES};
use crate::support::{Request, Step};
use crate::world::{Question, World};

/// The bytes of an answer, and whether it is a sound certificate.
pub(crate) fn answer(world: &mut World, question: &Question, answer: Answer) -> (Vec<Step>, bool) {
    let Question { kept, asked, asked_at } = question;
    let name = name_of(&kept.request);
    world.last_request = Some((client_of(world, &kept.request), *asked));
    match answer {
        Answer::Certificate { key, flaw, ends_in, fields } => {
            let (number, now) = (world.model.sendings.len() as u64, world.clock.now());
            let bundle = certificates::bundle(name, key, flaw, ends_in, number, now);
            let (head, lifetime) = FIELDS[fields];
            let is_good = flaw == Flaw::None;
            world.model.sendings.push(Sending {
                name,
                leaf: bundle.leaf,
                kind: certificates::kind(key),
                is_good,
                asked: *asked,
                asked_at: *asked_at,
                not_after: bundle.not_after,
                lifetime,
            });
            (vec![Step::respond("200 OK", &format!("{head}ETag: \"{number}\"\r\n"), bundle.pem)], is_good)
        }
        Answer::NotModified { fields } => {
            let Some(number) = etag_of(&kept.request) else {
                return (error(0), false);
            };
            let (head, lifetime) = FIELDS[fields];
            let leaf = world.model.sendings[number].leaf.clone();
            let confirmed: Vec<_> =
                world.model.sendings.iter().filter(|sending| sending.leaf == leaf).cloned().collect();
            for mut sending in confirmed {
                (sending.asked, sending.asked_at) = (*asked, *asked_at);
                // What says nothing leaves the lifetime as it was.
                if !head.is_empty() {
                    sending.lifetime = lifetime;
                }
                world.model.sendings.push(sending);
            }
            let text = format!("HTTP/1.1 304 Not Modified\r\n{head}ETag: \"{number}\"\r\n\r\n");
            (vec![Step::send(text)], false)
        }
        Answer::NoCertificate { fields } => {
            (vec![Step::send(format!("HTTP/1.1 204 No Content\r\n{}\r\n", FIELDS[fields].0))], false)
        }
        Answer::Error(which) => (error(which), false),
    }
}

/// The backend has said "no"; who waited knows for whom, else it was a refresh.
pub(crate) fn no_certificate(world: &mut World, name: usize, waited: Option<(ClientKind, Moment)>) {
    let (client, asked) = world.last_request.expect("a request was answered");
    let (client, asked) = waited.map_or((client, asked), |(client, since)| (client, asked.min(since)));
    world.model.no_certificate(name, client, asked);
}

fn error(which: usize) -> Vec<Step> {
    match which {
        0 => vec![Step::respond("500 Internal Server Error", "", "")],
        1 => vec![Step::respond("429 Too Many Requests", "Retry-After: 2\r\n", "")],
        _ => vec![Step::Close],
    }
}

pub(crate) fn name_of(request: &Request) -> usize {
    let asked = request.parameter("server_name").unwrap();
    NAMES.iter().position(|name| *name == asked).expect("one of the names")
}

fn etag_of(request: &Request) -> Option<usize> {
    request.header("if-none-match")?.trim_matches('"').parse().ok()
}

/// For whom a refresh asks: whoever can use the entry that it is for.
fn client_of(world: &World, request: &Request) -> ClientKind {
    // An operator asks as browsers do.
    let asked_by = match request.parameter("client").unwrap_or("Ecdsa") {
        "RsaOnly" => ClientKind::RsaOnly,
        "Ecdsa" => ClientKind::Ecdsa,
        _ => ClientKind::Ed25519,
    };
    match etag_of(request).map(|number| world.model.sendings[number].kind) {
        Some(ClientKind::RsaOnly) => asked_by.min(ClientKind::Ecdsa),
        Some(kind) => kind,
        None => asked_by,
    }
}
