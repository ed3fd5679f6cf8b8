//! Presets of `as = "image"`: what training libraries do before a model, as an entry of
//! `[features]`.
//!
//! Sources: torchvision's `ImageClassification` (ImageNet statistics, 256 to 224), timm's
//! `pretrained_cfg`, Hugging Face's `preprocessor_config.json`, and `preprocess_input` of
//! `keras.applications` (modes `caffe` and `tf`), whose `load_img` resizes with `nearest`.

mod config;

use serde_json::Value;

use self::config::{hugging_face, timm};
use super::manifest::key;
use crate::domain::{
    model::{Input, tensor::Element},
    problem::Problem,
};

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
/// Share of the resized picture that torchvision and timm keep.
const CROP_SHARE: f64 = 0.875;

/// What a preset is read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Preset {
    Torchvision,
    KerasCaffe,
    KerasTf,
    /// The content of timm's `config.json`.
    Timm(Value),
    /// The content of `preprocessor_config.json`.
    HuggingFace(Value),
}

/// The options of an entry, besides its column.
struct Options {
    resize: String,
    crop: Option<(u64, u64)>,
    channels: &'static str,
    scale: Option<String>,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
}

/// Height and width of an input, and whether its channels come first.
struct Shape {
    height: u64,
    width: u64,
    is_nchw: bool,
}

impl Preset {
    /// Returns the line of `[features]` for the graph's only image input.
    ///
    /// # Errors
    /// The graph has no such input, or the preset says another size or layout.
    pub fn entry(&self, inputs: &[Input]) -> Result<String, Problem> {
        let images: Vec<(&Input, Shape)> = inputs
            .iter()
            .filter_map(|input| Some((input, shape(input)?)))
            .collect();
        let [(input, shape)] = images.as_slice() else {
            let shown: Vec<String> = inputs
                .iter()
                .map(|input| format!("`{}` {:?}", input.name, input.dims))
                .collect();
            return Err(unfit(format!(
                "the model has {} image inputs of three channels, not one: {}",
                images.len(),
                shown.join(", ")
            )));
        };
        let is_keras = matches!(self, Self::KerasCaffe | Self::KerasTf);
        if !is_keras && !shape.is_nchw {
            return Err(unfit(format!(
                "input `{}` has its channels last {:?}, but this preset is of models that have them first",
                input.name, input.dims
            )));
        }
        let options = match self {
            Self::Torchvision => torchvision(shape),
            Self::KerasCaffe => Options {
                channels: "bgr",
                mean: Some(vec![103.939, 116.779, 123.68]),
                ..keras(shape)
            },
            Self::KerasTf => Options {
                scale: Some("1/127.5".to_owned()),
                mean: Some(vec![1.0; 3]),
                ..keras(shape)
            },
            Self::Timm(config) => timm(config, shape)?,
            Self::HuggingFace(config) => hugging_face(config, shape)?,
        };
        Ok(options.line(input, shape))
    }
}

impl Options {
    fn line(&self, input: &Input, shape: &Shape) -> String {
        let mut parts = vec![
            "column = \"image\"".to_owned(),
            "as = \"image\"".to_owned(),
            "decode = [\"jpeg\", \"png\"]".to_owned(),
            format!("resize = {}", self.resize),
        ];
        if let Some(crop) = self.crop {
            parts.push(format!("crop = {}", size(crop)));
        }
        parts.push(format!("channels = \"{}\"", self.channels));
        let layout = if shape.is_nchw { "nchw" } else { "nhwc" };
        parts.push(format!("layout = \"{layout}\""));
        if let Some(scale) = &self.scale {
            parts.push(format!("scale = \"{scale}\""));
        }
        for (word, numbers) in [("mean", &self.mean), ("std", &self.std)] {
            if let Some(numbers) = numbers {
                parts.push(format!("{word} = {numbers:?}"));
            }
        }
        format!("{} = {{ {} }}", key(&input.name), parts.join(", "))
    }
}

fn shape(input: &Input) -> Option<Shape> {
    let is_floating = matches!(
        input.element,
        Element::Float16 | Element::Float | Element::Double
    );
    match input.dims.as_slice() {
        [3, height, width] if is_floating => Some(Shape {
            height: *height as u64,
            width: *width as u64,
            is_nchw: true,
        }),
        [height, width, 3] if is_floating => Some(Shape {
            height: *height as u64,
            width: *width as u64,
            is_nchw: false,
        }),
        _ => None,
    }
}

fn size((height, width): (u64, u64)) -> String {
    match height == width {
        true => height.to_string(),
        false => format!("[{height}, {width}]"),
    }
}

fn short(side: u64, filter: &str) -> String {
    format!("{{ short = {side}, filter = \"{filter}\" }}")
}

fn exact(sides: (u64, u64), filter: &str) -> String {
    format!("{{ exact = {}, filter = \"{filter}\" }}", size(sides))
}

fn torchvision(shape: &Shape) -> Options {
    let side = shape.height.min(shape.width) as f64 / CROP_SHARE;
    Options {
        resize: short(side.floor() as u64, "bilinear"),
        crop: Some((shape.height, shape.width)),
        channels: "rgb",
        scale: Some("1/255".to_owned()),
        mean: Some(IMAGENET_MEAN.to_vec()),
        std: Some(IMAGENET_STD.to_vec()),
    }
}

fn keras(shape: &Shape) -> Options {
    Options {
        resize: exact((shape.height, shape.width), "nearest"),
        crop: None,
        channels: "rgb",
        scale: None,
        mean: None,
        std: None,
    }
}

fn fits(shape: &Shape, (height, width): (u64, u64)) -> Result<(), Problem> {
    match (shape.height, shape.width) == (height, width) {
        true => Ok(()),
        false => Err(unfit(format!(
            "the preset gives {height} x {width} pixels, but the model takes {} x {}",
            shape.height, shape.width
        ))),
    }
}

fn unfit(message: impl Into<String>) -> Problem {
    Problem::new("preset.unfit", message).help(
        "write the entry of [features] yourself (docs/manifest-documents.md), or export the model as the preset says",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{
        fixture::input,
        job::{PreparationKind, manifest::Manifest},
    };

    /// The dimensions that the entry gives, after the manifest has read it.
    fn dims(preset: &Preset, dims: &[usize]) -> Result<(String, [usize; 3]), String> {
        let inputs = [input("x", Element::Float, dims)];
        let line = preset.entry(&inputs).map_err(|problem| problem.message)?;
        let text = format!(
            "job = \"j\"\nmodel = \"m\"\nversions = [1]\nsource = {{ table = \"k.t\" }}\n[features]\n{line}\n"
        );
        let features = Manifest::parse(&text).unwrap().features.unwrap();
        let Some(PreparationKind::Image(rule)) = &features["x"].prepared else {
            panic!("{line}")
        };
        Ok((line, rule.dims().unwrap()))
    }

    #[test]
    fn every_preset_gives_what_the_graph_takes() {
        let timm_config = json!({"architecture": "vit", "pretrained_cfg": {
            "input_size": [3, 384, 384], "interpolation": "bicubic", "crop_pct": 1.0,
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]
        }});
        let clip = json!({
            "crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_resize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}
        });
        let vit = json!({
            "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "resample": 2, "size": 224
        });
        for (preset, of, part) in [
            (
                Preset::Torchvision,
                [3, 224, 224],
                "resize = { short = 256, filter = \"bilinear\" }, crop = 224",
            ),
            (
                Preset::KerasTf,
                [299, 299, 3],
                "scale = \"1/127.5\", mean = [1.0, 1.0, 1.0]",
            ),
            (
                Preset::KerasCaffe,
                [224, 224, 3],
                "channels = \"bgr\", layout = \"nhwc\"",
            ),
            (Preset::KerasCaffe, [3, 224, 224], "layout = \"nchw\""),
            (
                Preset::Timm(timm_config.clone()),
                [3, 384, 384],
                "short = 384, filter = \"bicubic\"",
            ),
            (
                Preset::HuggingFace(clip),
                [3, 224, 224],
                "scale = \"1/255\", mean = [0.48145466",
            ),
            (Preset::HuggingFace(vit), [3, 224, 224], "exact = 224"),
        ] {
            let (line, given) = dims(&preset, &of).unwrap();
            assert!(given == of && line.contains(part), "{line}");
        }
        let other_size = dims(&Preset::Timm(timm_config), &[3, 224, 224]).unwrap_err();
        assert!(other_size.contains("384 x 384"), "{other_size}");
        let last = dims(&Preset::Torchvision, &[224, 224, 3]).unwrap_err();
        assert!(last.contains("channels last"), "{last}");
        let table = dims(&Preset::Torchvision, &[30]).unwrap_err();
        assert!(table.contains("0 image inputs"), "{table}");
        let empty = dims(&Preset::HuggingFace(json!({})), &[3, 224, 224]).unwrap_err();
        assert!(empty.contains("`size`"), "{empty}");
    }
}
