//! Small pictures: records as PNG.

use base64ct::{Base64, Encoding};

/// A grey picture, `[height][width]`, 0 black and 255 white.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture; none when a side is 0 or longer than 512, or the pixels are not as many as the sides
    /// say.
    pub fn new(height: usize, width: usize, pixels: &[u8]) -> Option<Picture> {
        let side = |length: usize| {
            u32::try_from(length)
                .ok()
                .filter(|side| (1..=MAX_SIDE).contains(side))
        };
        let picture = Picture {
            width: side(width)?,
            height: side(height)?,
            pixels: pixels.to_vec(),
        };
        (width * height == pixels.len()).then_some(picture)
    }

    /// Width over height.
    pub(super) fn aspect(&self) -> f64 {
        f64::from(self.width) / f64::from(self.height)
    }

    /// As a PNG file, 8 bits of grey a pixel.
    pub fn to_png(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.pixels)?;
            writer.finish()
        });
        debug_assert!(
            written.is_ok(),
            "a vector takes all, and the sides were checked"
        );
        bytes
    }

    /// The PNG as a `data:` URL.
    pub(super) fn to_url(&self) -> String {
        format!(
            "data:image/png;base64,{}",
            Base64::encode_string(&self.to_png())
        )
    }
}

/// The longest side, in pixels: a report carries a few dozen pictures.
const MAX_SIDE: u32 = 512;
