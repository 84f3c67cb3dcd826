//! What a history hangs on: numbers from a seed, or from a tape of them that is cut down to the shortest that still fails.

/// The numbers of one history, and which ones it was given.
pub(super) struct Choices {
    random: u64,
    tape: Option<Vec<Option<u16>>>,
    pub(super) made: Vec<u16>,
}

impl Choices {
    pub(super) fn of(seed: u64) -> Self {
        Self {
            random: seed | 1,
            tape: None,
            made: Vec::new(),
        }
    }

    /// The numbers of a tape; where it leaves one open, and behind its end, nothing is to happen.
    pub(super) fn on(tape: Vec<Option<u16>>) -> Self {
        Self {
            tape: Some(tape),
            ..Self::of(1)
        }
    }

    /// Returns a number below `n`. `calm` is the one with which nothing happens.
    pub(super) fn below(&mut self, n: usize, calm: usize) -> usize {
        let n = n.max(1);
        let chosen = match &self.tape {
            Some(tape) => {
                let told = tape.get(self.made.len()).copied().flatten();
                told.map_or(calm.min(n - 1), |number| usize::from(number) % n)
            }
            None => {
                // xorshift64*: enough to choose by.
                self.random ^= self.random >> 12;
                self.random ^= self.random << 25;
                self.random ^= self.random >> 27;
                (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
            }
        };
        self.made.push(u16::try_from(chosen).unwrap());
        chosen
    }
}

/// How many shorter histories are tried: a minute of an unoptimised build.
const MOST_TRIES: usize = 3000;

/// Returns the tape with as many numbers left open as go without making the failure go away.
pub(super) fn shortest(made: &[u16], fails: &dyn Fn(&[Option<u16>]) -> bool) -> Vec<Option<u16>> {
    let mut tape: Vec<Option<u16>> = made.iter().copied().map(Some).collect();
    let mut tries = 0;
    let mut size = tape.len();
    while size > 0 {
        let mut at = 0;
        while at < tape.len() && tries < MOST_TRIES {
            let end = (at + size).min(tape.len());
            if tape[at..end].iter().any(Option::is_some) {
                let mut shorter = tape.clone();
                shorter[at..end].fill(None);
                tries += 1;
                if fails(&shorter) {
                    tape = shorter;
                }
            }
            at = end;
        }
        size /= 2;
    }
    tape
}
