//! Presets from the files that timm and Hugging Face keep beside a model.

use serde_json::Value;

use super::{CROP_SHARE, Options, Shape, exact, fits, short, unfit};
use crate::domain::problem::Problem;

pub(super) fn timm(config: &Value, shape: &Shape) -> Result<Options, Problem> {
    // Older files have the same keys at the top.
    let config = config.get("pretrained_cfg").unwrap_or(config);
    let sides: Vec<u64> = numbers(config, "input_size")?
        .iter()
        .map(|n| *n as u64)
        .collect();
    let &[3, height, width] = sides.as_slice() else {
        return Err(unfit(format!(
            "input_size is {sides:?}, not three channels"
        )));
    };
    fits(shape, (height, width))?;
    let filter = match word(config, "interpolation")? {
        filter @ ("bilinear" | "bicubic" | "nearest") => filter,
        "lanczos" => "lanczos3",
        other => return Err(unfit(format!("interpolation `{other}` is not supported"))),
    };
    let share = match config.get("crop_pct") {
        None => CROP_SHARE,
        Some(share) => number(share, "crop_pct")?,
    };
    let mode = config
        .get("crop_mode")
        .and_then(Value::as_str)
        .unwrap_or("center");
    let grown = |side: u64| (side as f64 / share).floor() as u64;
    let resize = match mode {
        "center" if height == width => short(grown(height), filter),
        "squash" => exact((grown(height), grown(width)), filter),
        _ => {
            return Err(unfit(format!(
                "crop_mode `{mode}` of {height} x {width} is not supported"
            )));
        }
    };
    Ok(Options {
        resize,
        crop: Some((height, width)),
        channels: "rgb",
        scale: Some("1/255".to_owned()),
        mean: Some(numbers(config, "mean")?),
        std: Some(numbers(config, "std")?),
    })
}

pub(super) fn hugging_face(config: &Value, shape: &Shape) -> Result<Options, Problem> {
    let does = |step: &str, usual: bool| config.get(step).and_then(Value::as_bool).unwrap_or(usual);
    let crop = match does("do_center_crop", false) {
        false => None,
        true => Some(sides(config, "crop_size")?),
    };
    let filter = match config.get("resample").and_then(Value::as_u64).unwrap_or(2) {
        0 => "nearest",
        1 => "lanczos3",
        2 => "bilinear",
        3 => "bicubic",
        4 => "box",
        5 => "hamming",
        other => return Err(unfit(format!("resample {other} is unknown"))),
    };
    if !does("do_resize", true) {
        return Err(unfit(
            "do_resize is false: the model takes images of any size",
        ));
    }
    let of_size = config.get("size");
    let edge = of_size.and_then(|size| size.get("shortest_edge").and_then(Value::as_u64));
    // Before sizes were objects, a number meant the shorter side where the centre is cut out.
    let edge = edge.or_else(|| crop.and(of_size.and_then(Value::as_u64)));
    let resize = match (edge, crop) {
        (Some(side), Some(_)) => short(side, filter),
        (Some(_), None) => return Err(unfit("the image is resized, but not cut to one size")),
        (None, _) => exact(sides(config, "size")?, filter),
    };
    fits(
        shape,
        match crop {
            Some(crop) => crop,
            None => sides(config, "size")?,
        },
    )?;
    let scale = match (does("do_rescale", true), config.get("rescale_factor")) {
        (false, _) => None,
        (true, None) => Some("1/255".to_owned()),
        (true, Some(factor)) => {
            let factor = number(factor, "rescale_factor")?;
            let is_usual = (factor * 255.0 - 1.0).abs() < 1e-9;
            Some(if is_usual {
                "1/255".to_owned()
            } else {
                factor.to_string()
            })
        }
    };
    let normalised = does("do_normalize", true);
    Ok(Options {
        resize,
        crop,
        channels: "rgb",
        scale,
        mean: normalised
            .then(|| numbers(config, "image_mean"))
            .transpose()?,
        std: normalised
            .then(|| numbers(config, "image_std"))
            .transpose()?,
    })
}

/// Returns height and width of `224`, `{"height": …, "width": …}`.
fn sides(config: &Value, key: &str) -> Result<(u64, u64), Problem> {
    let size = config.get(key);
    let side = |name: &str| size.and_then(|size| size.get(name)?.as_u64());
    let square = size.and_then(Value::as_u64).map(|side| (side, side));
    square
        .or_else(|| Some((side("height")?, side("width")?)))
        .ok_or_else(|| unfit(format!("`{key}` has no height and width")))
}

fn word<'c>(config: &'c Value, key: &str) -> Result<&'c str, Problem> {
    let word = config.get(key).and_then(Value::as_str);
    word.ok_or_else(|| unfit(format!("`{key}` is missing or is not a text")))
}

fn number(value: &Value, key: &str) -> Result<f64, Problem> {
    let number = value.as_f64().filter(|number| *number > 0.0);
    number.ok_or_else(|| unfit(format!("`{key}` is not a positive number")))
}

fn numbers(config: &Value, key: &str) -> Result<Vec<f64>, Problem> {
    let list = config.get(key).and_then(Value::as_array);
    let numbers: Option<Vec<f64>> = list.and_then(|list| list.iter().map(Value::as_f64).collect());
    numbers
        .filter(|numbers| numbers.len() == 3)
        .ok_or_else(|| unfit(format!("`{key}` is not a list of three numbers")))
}
