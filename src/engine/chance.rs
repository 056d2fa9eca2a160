//! The engine's randomness: jitter, and what makes tokens unlike each other.

use rand::{Rng as _, rngs::StdRng};

use crate::{
    exchange::News,
    label::Label,
    mutant::{self, Mutant},
    token::Token,
};

/// A source of chance, which the driver brings.
#[derive(Debug)]
pub(super) struct Chance {
    rng: StdRng,
    /// The token that a mutant uses again.
    first_token: Option<Token>,
}

impl Chance {
    pub(super) fn new(rng: StdRng) -> Self {
        Self { rng, first_token: None }
    }

    pub(super) fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A token of its own for each attempt: the release of an earlier one may
    /// still be on its way, and must not delete this one's key.
    pub(super) fn token(&mut self, label: Option<&Label>) -> Token {
        self.secret().with_label(label)
    }

    fn secret(&mut self) -> Token {
        if mutant::is(Mutant::TokenReused) {
            let rng = &mut self.rng;
            return self.first_token.get_or_insert_with(|| Token::random(rng)).clone();
        }
        Token::random(&mut self.rng)
    }

    /// What is published of a release whose holder had waited for `age` others.
    pub(super) fn news(&mut self, age: u32) -> News {
        News { number: self.draw(), age }
    }
}
