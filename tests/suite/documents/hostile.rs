//! Files that must reject their row and harm nothing else.

use std::process::Command;

use crate::support::{cli::run, documents, required};

/// Makes files that only Pillow can write.
const MAKE: &str = r#"
import io, sys, pathlib
from PIL import Image
out = pathlib.Path(sys.argv[1])
def save(name, image, format, **options):
    buffer = io.BytesIO(); image.save(buffer, format, **options); (out / name).write_bytes(buffer.getvalue())
scene = Image.linear_gradient("L").resize((300, 300)).convert("RGB")
save("cmyk", scene.convert("CMYK"), "JPEG")
save("gif", scene.convert("P"), "GIF", save_all=True, append_images=[scene.rotate(90).convert("P")])
save("deep", Image.new("I;16", (300, 300), 700), "PNG")
save("wide", Image.new("RGB", (60000, 2), "red"), "JPEG")
save("bomb", Image.new("L", (20000, 20000)), "JPEG", quality=1)
"#;

/// What each is, its content, and words of the reason.
pub fn contents(jpeg: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(required("HELENUS_TEST_DOCUMENTS"));
    command.args(["-c", MAKE]).arg(folder.path());
    run(command).ok();
    let made = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let png = documents::contents("images", "images.json").swap_remove(5);
    let mut zero = jpeg.to_vec();
    let frame = zero.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    zero[frame + 5..frame + 9].fill(0);
    let mut noise = jpeg[..2000].to_vec();
    noise.extend((0..30_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8));
    vec![
        (
            "a truncated JPEG",
            jpeg[..jpeg.len() / 2].to_vec(),
            "truncated",
        ),
        ("a JPEG of its header only", jpeg[..200].to_vec(), ""),
        ("a JPEG without a size", zero, ""),
        ("noise after a header", noise, ""),
        ("text", b"not an image at all".to_vec(), "not an image"),
        (
            "a page of HTML named .jpg",
            b"<!doctype html><html>".to_vec(),
            "not an image",
        ),
        ("a PNG where only JPEG is listed", png, "format png"),
        ("an animated GIF", made("gif"), "format gif"),
        ("CMYK", made("cmyk"), "CMYK"),
        ("16 bits", made("deep"), "format png"),
        ("60,000 pixels wide", made("wide"), "max_pixels"),
        ("400 million pixels", made("bomb"), "20000 x 20000"),
        ("one byte", vec![0xff], "not an image"),
        ("12 MB of zeros", vec![0; 12 << 20], "not an image"),
    ]
}
