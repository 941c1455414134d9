//! Days since 2000-01-01 and dates of the proleptic Gregorian calendar.

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// Days from 0000-03-01, when the years of the calculation begin, to 2000-01-01.
const DAYS_BEFORE_2000: i64 = 730_425;
/// Days of 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;

/// Year (0 is 1 BC), month and day.
pub(super) fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_2000;
    let (cycle, day_of_cycle) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // From March on, months of 31 and 30 days alternate as 153 days in five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year_of_cycle + next, month, day)
}

/// The days of a date; `None` where there is no such date.
#[cfg(feature = "neon")]
pub(super) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(-10_000_000..=10_000_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (month_from_march, before) = if month > 2 { (month - 3, 0) } else { (month + 9, 1) };
    let (cycle, year_of_cycle) = ((year - before).div_euclid(400), (year - before).rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = cycle * CYCLE_DAYS + 365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100
        + day_of_year
        - DAYS_BEFORE_2000;
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(all(test, feature = "neon"))]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_cycle_and_far_ones_are_there_and_back() {
        for start in [-CYCLE_DAYS, 0, -2_451_545, 2_145_031_948 - CYCLE_DAYS] {
            for day in start..start + CYCLE_DAYS {
                let (year, month, day_of_month) = date(day);
                assert_eq!(days(year, month, day_of_month), Some(day));
            }
        }
        assert_eq!(
            (date(0), date(59), date(60), date(-1)),
            ((2000, 1, 1), (2000, 2, 29), (2000, 3, 1), (1999, 12, 31))
        );
        for (year, month, day) in [(2023, 2, 29), (1900, 2, 29), (2024, 4, 31), (2024, 13, 1), (2024, 1, 0)] {
            assert_eq!(days(year, month, day), None);
        }
    }
}
