//! Prometheus's text format, version 0.0.4: what Prometheus and everything that followed it can read.

use std::fmt::{Display, Write};

use super::Histogram;

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of samples is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text, as it grows: a family, then all of its samples, then the next one.
#[derive(Default)]
pub(crate) struct Exposition(String);

// Writing into a String cannot fail, so the results of `write!` are dropped here.
impl Exposition {
    /// Begins a family. `help` is one line without a backslash.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        let mut separator = '{';
        for (label, text) in labels {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{separator}{label}=\"{text}\"");
            separator = ',';
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        let _ = writeln!(self.0, "{value}");
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let buckets = format!("{name}_bucket");
        let mut total = 0;
        for (bound_us, count) in histogram.cumulative() {
            let bound = match bound_us {
                Some(bound_us) => std::time::Duration::from_micros(bound_us).as_secs_f64().to_string(),
                None => "+Inf".to_owned(),
            };
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.sample(&buckets, &labels, count);
            total = count;
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum_seconds());
        self.sample(&format!("{name}_count"), labels, total);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn labels_are_escaped_and_families_have_help_and_type() {
        let mut text = Exposition::default();
        text.family("a_total", Kind::Counter, "Things.");
        text.sample("a_total", &[("database", "a \"b\" \\ \n c"), ("code", "x")], 3);
        text.sample("a_total", &[], 4);
        assert_eq!(
            text.finish(),
            "# HELP a_total Things.\n# TYPE a_total counter\n\
             a_total{database=\"a \\\"b\\\" \\\\ \\n c\",code=\"x\"} 3\na_total 4\n"
        );
    }

    #[test]
    fn a_histogram_counts_up_to_its_total() {
        let histogram = Histogram::default();
        for ms in [0, 1, 2, 40, 100_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut text = Exposition::default();
        text.histogram("t", &[("database", "app")], &histogram);
        let text = text.finish();
        for line in [
            "t_bucket{database=\"app\",le=\"0.0001\"} 1",
            "t_bucket{database=\"app\",le=\"0.001\"} 2",
            "t_bucket{database=\"app\",le=\"0.0025\"} 3",
            "t_bucket{database=\"app\",le=\"0.05\"} 4",
            "t_bucket{database=\"app\",le=\"60\"} 4",
            "t_bucket{database=\"app\",le=\"+Inf\"} 5",
            "t_sum{database=\"app\"} 100.043",
            "t_count{database=\"app\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
