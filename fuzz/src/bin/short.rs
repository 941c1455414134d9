//! A short run of all targets: mutations of valid input, the same ones for the same number of seconds or rounds.

use std::time::{Duration, Instant};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    let targets = onetrip_fuzz::seeds();
    let each = Duration::from_secs(seconds) / targets.len() as u32;
    for (name, target, seeds) in targets {
        let (start, mut random, mut runs) = (Instant::now(), Random(0x9e37_79b9_7f4a_7c15), 0u64);
        seeds.iter().for_each(|seed| target(seed));
        while start.elapsed() < each {
            for _ in 0..256 {
                let mut input = seeds[random.below(seeds.len())].clone();
                for _ in 0..=random.below(4) {
                    mutate(&mut input, &mut random);
                }
                // A failure prints its input: it becomes a vector.
                let guard = Guard(&input);
                target(&input);
                std::mem::forget(guard);
                runs += 1;
            }
        }
        println!("{name}: {runs} inputs in {:.1} s", start.elapsed().as_secs_f64());
        assert!(runs > 0);
    }
}

struct Guard<'a>(&'a [u8]);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        eprintln!("input: \"{}\"", self.0.escape_ascii());
    }
}

fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    const NUMBERS: [u32; 10] = [0, 1, 3, 4, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x0010_0000];
    if input.is_empty() {
        return input.push(random.below(256) as u8);
    }
    let at = random.below(input.len());
    match random.below(6) {
        0 => input[at] = random.below(256) as u8,
        1 => input[at] ^= 1 << random.below(8),
        2 => input.truncate(at),
        3 => {
            let end = (at + 1 + random.below(16)).min(input.len());
            input.drain(at..end);
        }
        4 => {
            let end = (at + 1 + random.below(64)).min(input.len());
            let copy = input[at..end].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, copy);
        }
        _ => {
            let number = NUMBERS[random.below(NUMBERS.len())].to_be_bytes();
            let len = number.len().min(input.len() - at);
            input[at..at + len].copy_from_slice(&number[..len]);
        }
    }
}

/// xorshift64*: the same inputs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}
