//! The fields of a request's body, which is a form or JSON, and the bounds of each.
//! Nothing is ever guessed: a field that is unknown, or given twice, is refused.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use super::{
    Settings,
    answers::{LOCK_FENCE, LOCK_TOKEN, millis},
    encoding::decode_form,
    refusal::Refusal,
    settings::MIN_TTL,
};
use crate::Token;

/// The largest body. All fields at their longest, with each byte of key, owner and
/// token written as three, take less than half of it.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long a body may take after the head of its request. It fits a few packets, and
/// a client that sends none would keep a connection for nothing.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The fields of all bodies together; each endpoint takes some of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) key: Option<Vec<u8>>,
    pub(super) token: Option<Vec<u8>>,
    pub(super) ttl_ms: Option<u64>,
    pub(super) wait_ms: Option<u64>,
    pub(super) owner: Option<String>,
    pub(super) fenced: Option<bool>,
    pub(super) fence: Option<u64>,
}

/// The body that one endpoint takes.
pub(super) trait Body: DeserializeOwned + Into<Fields> {
    /// The names of the body's fields, as in the struct.
    const NAMES: &'static [&'static str];
    /// Whether the body may be a form. Then no request may leave out the content type.
    const IS_FORM: bool;
}

/// Reads a request's body.
pub(super) async fn read<B: Body>(request: Request) -> Result<Fields, Refusal> {
    let is_json = is(request.headers(), "application/json");
    let is_form = B::IS_FORM && is(request.headers(), "application/x-www-form-urlencoded");
    let body = bytes(request).await?;
    if is_form && is_an_object(&body) {
        let message = "the body is JSON and was sent as a form: send it as Content-Type: \
                       application/json";
        return Err(Refusal::Invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.into()));
    }
    if is_form {
        return form(&body, B::NAMES);
    }
    if body.is_empty() && (is_json || !B::IS_FORM) {
        return Ok(Fields::default());
    }
    if is_json {
        return json::<B>(&body).map(Into::into);
    }
    let message = if B::IS_FORM {
        "send a form, as Content-Type: application/x-www-form-urlencoded, or application/json"
    } else {
        "send no body, or JSON as Content-Type: application/json"
    };
    Err(Refusal::Invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.into()))
}

/// Reads a request's body, whatever it says.
async fn bytes(request: Request) -> Result<Bytes, Refusal> {
    let reading = timeout(BODY_WITHIN, Bytes::from_request(request, &())).await;
    let late = |_| Refusal::malformed(format!("the body was not there within {BODY_WITHIN:?}"));
    reading.map_err(late)?.map_err(|rejection| {
        if rejection.status() != StatusCode::PAYLOAD_TOO_LARGE {
            return Refusal::malformed("the body broke off");
        }
        let message = format!("the body is too large: at most {MAX_BODY_BYTES} bytes are read");
        Refusal::Invalid(StatusCode::PAYLOAD_TOO_LARGE, message.into())
    })
}

/// Whether the content type is `kind`, whatever its parameters.
fn is(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    value.get(..end).is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(kind.as_bytes()))
}

/// Whether this is JSON, if anything. No form begins like that.
fn is_an_object(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

fn json<B: Body>(body: &[u8]) -> Result<B, Refusal> {
    // From a list, serde would take the fields in their order.
    if !is_an_object(body) {
        return Err(Refusal::malformed("the body is not the JSON that it should be: an object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = error.to_string();
        // serde gives no other sign of a duplicate.
        let is_twice = message.starts_with("duplicate field");
        match error.classify() {
            Category::Data if !is_twice => Refusal::unprocessable(message),
            _ => {
                Refusal::malformed(format!("the body is not the JSON that it should be: {message}"))
            }
        }
    })
}

fn form(body: &[u8], names: &[&'static str]) -> Result<Fields, Refusal> {
    let mut fields = Fields::default();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(split).unwrap_or((pair, b""));
        let name = decode_form(name)?;
        let Some(name) = names.iter().find(|known| known.as_bytes() == name) else {
            let (unknown, known) = (String::from_utf8_lossy(&name), names.join(", "));
            return Err(Refusal::unprocessable(format!(
                "unknown field `{unknown}`: the fields are {known}"
            )));
        };
        fields.set(name, decode_form(value.get(1..).unwrap_or_default())?)?;
    }
    Ok(fields)
}

impl Fields {
    fn set(&mut self, name: &'static str, value: Vec<u8>) -> Result<(), Refusal> {
        let is_twice = match name {
            "key" => self.key.replace(value).is_some(),
            "token" => self.token.replace(value).is_some(),
            "ttl_ms" => self.ttl_ms.replace(number(name, &value)?).is_some(),
            "wait_ms" => self.wait_ms.replace(number(name, &value)?).is_some(),
            "fence" if value.is_empty() => false,
            "fence" => self.fence.replace(number(name, &value)?).is_some(),
            "fenced" => self.fenced.replace(flag(name, &value)?).is_some(),
            _ => {
                let text = String::from_utf8(value);
                let text = text.map_err(|_| Refusal::unprocessable("owner must be UTF-8 text"))?;
                self.owner.replace(text).is_some()
            }
        };
        if is_twice {
            return Err(Refusal::malformed(format!("the field {name} is there twice")));
        }
        Ok(())
    }

    /// Takes the key out, which is checked where it is used.
    pub(super) fn key(&mut self) -> Result<Vec<u8>, Refusal> {
        self.key.take().ok_or_else(|| Refusal::malformed("the field key is missing"))
    }

    /// The ttl that the caller asks for, or the default.
    pub(super) fn ttl(&self, settings: &Settings) -> Result<Duration, Refusal> {
        let Some(millis_asked) = self.ttl_ms else { return Ok(settings.ttl) };
        let ttl = Duration::from_millis(millis_asked);
        if (MIN_TTL..=settings.max_ttl).contains(&ttl) {
            return Ok(ttl);
        }
        let (least, most) = (millis(MIN_TTL), millis(settings.max_ttl));
        Err(Refusal::unprocessable(format!(
            "ttl_ms is {millis_asked}: it must be from {least} to {most}"
        )))
    }

    /// The wait that the caller asks for, or none.
    pub(super) fn wait(&self, settings: &Settings) -> Result<Duration, Refusal> {
        let wait = Duration::from_millis(self.wait_ms.unwrap_or(0));
        if wait <= settings.max_wait {
            return Ok(wait);
        }
        let (asked, most) = (millis(wait), millis(settings.max_wait));
        Err(Refusal::unprocessable(format!("wait_ms is {asked}: it must be at most {most}")))
    }

    /// What the holder calls itself; an empty text stands for none.
    pub(super) fn owner(&self) -> Option<&str> {
        self.owner.as_deref().filter(|owner| !owner.is_empty())
    }
}

fn number(name: &str, value: &[u8]) -> Result<u64, Refusal> {
    let digits = std::str::from_utf8(value).ok();
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let unit = if name.ends_with("_ms") { " of milliseconds" } else { "" };
        Refusal::unprocessable(format!("{name} must be a whole number{unit}, in digits"))
    })
}

fn flag(name: &str, value: &[u8]) -> Result<bool, Refusal> {
    let value = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    value.ok_or_else(|| Refusal::unprocessable(format!("{name} must be true or false")))
}

/// The fencing number in a field or in the header `Lock-Fence`, if there is one.
pub(super) fn fence(headers: &HeaderMap, field: Option<u64>) -> Result<Option<u64>, Refusal> {
    let mut found = field;
    for value in headers.get_all(LOCK_FENCE) {
        if value.is_empty() {
            continue;
        }
        let value = number(LOCK_FENCE, value.as_bytes())?;
        if found.is_some_and(|other| other != value) {
            let message =
                "there are two different fencing numbers: send one, as field or as header";
            return Err(Refusal::malformed(message));
        }
        found = Some(value);
    }
    Ok(found)
}

/// The token in a field or in the header `Lock-Token`, if there is one.
pub(super) fn token(headers: &HeaderMap, field: Option<Vec<u8>>) -> Result<Option<Token>, Refusal> {
    let mut found = field.filter(|token| !token.is_empty());
    for value in headers.get_all(LOCK_TOKEN) {
        let value = value.as_bytes();
        match &found {
            _ if value.is_empty() => {}
            None => found = Some(value.to_vec()),
            Some(token) if token == value => {}
            Some(_) => {
                let message = "there are two different tokens: send one, as field or as header";
                return Err(Refusal::malformed(message));
            }
        }
    }
    found.map(|token| Token::from_bytes(token).map_err(Refusal::of)).transpose()
}

/// Declares the body of one endpoint: the struct that JSON is read into and that the
/// documentation is made from, and the names that a form may have.
macro_rules! body {
    (
        $(#[$doc:meta])* struct $name:ident, IS_FORM: $is_form:literal,
        $($(#[$field_doc:meta])* $field:ident: $kind:ty = $into:expr,)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$field_doc])* #[serde(default)] $field: Option<$kind>,)*
        }

        impl $crate::http::fields::Body for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
            const IS_FORM: bool = $is_form;
        }

        impl From<$name> for $crate::http::fields::Fields {
            fn from(body: $name) -> Self {
                Self { $($field: body.$field.map($into),)* ..Self::default() }
            }
        }
    };
}
pub(super) use body;

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    const NAMES: &[&str] = &["key", "token", "ttl_ms", "wait_ms", "owner"];

    #[test]
    fn a_form_is_read_to_bytes() {
        let fields = form(b"key=a+b%2F%ff%00&ttl_ms=10&&owner=%C3%A4&token=", NAMES).unwrap();
        assert_eq!(fields.key.as_deref(), Some(&b"a b/\xff\x00"[..]));
        assert_eq!((fields.ttl_ms, fields.wait_ms), (Some(10), None));
        assert_eq!((fields.owner.as_deref(), fields.token.as_deref()), (Some("ä"), Some(&b""[..])));
        assert_eq!(form(b"", NAMES).unwrap(), Fields::default());
        assert_eq!(form(b"key", NAMES).unwrap().key, Some(Vec::new()));
        assert_eq!(form(b"k%65y=a=b", NAMES).unwrap().key, Some(b"a=b".to_vec()));
    }

    #[test]
    fn what_a_form_may_not_say_is_refused() {
        for (body, status, word) in [
            (&b"key=a&key=a"[..], 400, "twice"),
            (b"key=%", 400, "percent"),
            (b"%zz=a", 400, "percent"),
            (b"kee=a", 422, "`kee`: the fields are key, token"),
            (b"=a", 422, "unknown field"),
            (b"\xff=a", 422, "unknown field"),
            (b"ttl_ms=", 422, "whole number"),
            (b"ttl_ms=-1", 422, "whole number"),
            (b"ttl_ms=%2B1", 422, "whole number"),
            (b"wait_ms=1.5", 422, "wait_ms must be"),
            (b"wait_ms=18446744073709551616", 422, "whole number"),
            (b"owner=%ff", 422, "UTF-8"),
        ] {
            let refusal = form(body, NAMES).unwrap_err();
            assert_eq!(refusal.status().as_u16(), status, "{refusal:?}");
            assert!(refusal.detail().contains(word), "{refusal:?}");
        }
    }

    #[test]
    fn a_type_is_known_by_its_name_alone() {
        let typed = |value| HeaderMap::from_iter([(CONTENT_TYPE, value)]);
        for value in ["application/json", "Application/JSON;charset=utf-8", "application/json ; x"]
        {
            assert!(is(&typed(value.parse().unwrap()), "application/json"), "{value}");
        }
        for value in ["", "application/jsonp", "text/plain", "application/problem+json"] {
            assert!(!is(&typed(value.parse().unwrap()), "application/json"), "{value}");
        }
    }

    #[test]
    fn one_token_may_be_sent_twice_and_two_may_not_be() {
        let header = |value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(LOCK_TOKEN), value.parse().unwrap())])
        };
        let bytes = |headers, field: Option<&str>| {
            let found = token(&headers, field.map(|text| text.as_bytes().to_vec()));
            found.map(|token| token.map(|token| token.as_bytes().to_vec()))
        };
        assert_eq!(bytes(header("a"), None).unwrap().unwrap(), b"a");
        assert_eq!(bytes(header("a"), Some("a")).unwrap().unwrap(), b"a");
        assert_eq!(bytes(header(""), Some("a")).unwrap().unwrap(), b"a");
        assert_eq!(bytes(header(""), Some("")).unwrap(), None);
        assert_eq!(bytes(header("b"), Some("a")).unwrap_err().status(), 400);
        let long = "x".repeat(257);
        assert_eq!(bytes(HeaderMap::new(), Some(&long)).unwrap_err().status(), 422);
    }
}
