//! Validates `[drift]`.

use super::{check::key, problems::Problems, read::RawDrift};
use crate::domain::{
    evidence::drift::Thresholds,
    job::drift::{DriftRules, FeatureThresholds},
};

pub(super) fn check_drift(raw: RawDrift, p: &mut Problems) -> DriftRules {
    let usual = Thresholds::default();
    let mut size = |place: String, said: Option<f64>, most: f64| {
        let said = said?;
        if said > 0.0 && said <= most {
            return Some(said);
        }
        let range = match most.is_finite() {
            true => format!("write a number above 0 and at most {most}"),
            false => "write a number above 0".to_owned(),
        };
        p.report(&place, format!("`{said}` is not a valid threshold"), range);
        None
    };
    let mut sizes = |place: &str, psi, share| FeatureThresholds {
        psi: size(format!("{place}.psi"), psi, f64::INFINITY),
        share: size(format!("{place}.share"), share, 1.0),
    };
    let all = sizes("drift", raw.psi, raw.share);
    let features = raw.features.into_iter().map(|(name, said)| {
        let place = format!("drift.features.{}", key(&name));
        let found = sizes(&place, said.psi, said.share);
        (name, found)
    });
    let features = features.collect();
    DriftRules {
        is_profiled: raw.profile.unwrap_or(true),
        thresholds: Thresholds {
            psi: all.psi.unwrap_or(usual.psi),
            share: all.share.unwrap_or(usual.share),
        },
        features,
        segment: raw.segment,
    }
}
