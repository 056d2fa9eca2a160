//! Access to the service: the bearer token, and warnings where others could read it or
//! need none. The token is never taken from the command line, and never logged.

use std::{env, net::SocketAddr, path::PathBuf};

use crate::{exit::Exit, files};

const TOKEN: &str = "REDLOCK_BEARER_TOKEN";
const TOKEN_FILE: &str = "--bearer-token-file";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessOptions {
    /// A file with the token that callers must send as `Authorization: Bearer …`
    ///
    /// Or put the token into REDLOCK_BEARER_TOKEN; there is no flag for it,
    /// since `ps` shows flags to everyone. Blanks around it do not count.
    /// Without a token, whoever reaches the service may use it.
    #[arg(long, value_name = "FILE", env = "REDLOCK_BEARER_TOKEN_FILE", hide_env_values = true)]
    bearer_token_file: Option<PathBuf>,

    /// UNSAFE: let POST /unlock without a token release what this instance handed out for the key
    ///
    /// For callers that know no tokens yet. Anyone can then unlock anything.
    #[arg(
        long, env = "REDLOCK_ALLOW_TOKENLESS_UNLOCK", hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub(crate) allow_tokenless_unlock: bool,
}

impl AccessOptions {
    /// The bearer token, if the settings name one.
    pub(crate) fn bearer_token(&self) -> Result<Option<String>, Exit> {
        let (token, from) = match (env::var_os(TOKEN), &self.bearer_token_file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Exit::usage(format!(
                    "there are two bearer tokens: {TOKEN} and {TOKEN_FILE}; give one"
                )));
            }
            (Some(token), None) => {
                let token = token.into_string();
                let text = || Exit::config(format!("{TOKEN}: it is not UTF-8 text"));
                (token.map_err(|_| text())?, TOKEN.to_owned())
            }
            (None, Some(path)) => {
                let from = format!("{TOKEN_FILE} {}", path.display());
                (files::read_text(TOKEN_FILE, path)?, from)
            }
        };
        match token.trim() {
            "" => Err(Exit::config(format!(
                "{from}: it is empty; name no token where none is wanted"
            ))),
            token => Ok(Some(token.to_owned())),
        }
    }

    /// Warns of what is open to others, once the service listens at `address`.
    pub(crate) fn warn(&self, address: SocketAddr, has_token: bool, has_tls: bool) {
        if address.ip().to_canonical().is_loopback() {
            return;
        }
        if !has_token {
            tracing::warn!(
                %address,
                "any host that reaches this address can take and release locks: set {TOKEN}"
            );
        } else if !has_tls {
            tracing::warn!(
                %address,
                "the bearer token crosses the network in the clear: use --tls-cert and \
                 --tls-key, or a proxy that does"
            );
        }
    }
}
