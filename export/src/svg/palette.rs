//! The colour of each class, and what is made of it.
//!
//! Warm is work and what keeps from it (running, starved, runnable, system calls), strong violet is contention, green and
//! blue are the waits for others, pale and grey the idle ones. Any two colours stay apart (CIE76 ΔE of 15 or more) for
//! people with protanopia, deuteranopia or tritanopia: a test computes it.

use fgspy_profile::Class;

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// Background and text of the light and of the dark theme.
const LIGHT: (Colour, Colour) = ([0xff, 0xff, 0xff], INK);
const DARK: (Colour, Colour) = ([0x14, 0x16, 0x1b], [0xec, 0xee, 0xf2]);

/// Dark text.
const INK: Colour = [0x16, 0x18, 0x1d];

/// How much of its class' colour the box of a function has; the rest is background.
const TINT: f64 = 0.36;

/// The colour of a class.
pub(super) const fn colour(class: Class) -> Colour {
    match class {
        Class::Running => [0xff, 0x70, 0x38],
        Class::RunningOffCpu => [0x6b, 0x1f, 0x47],
        Class::Runnable => [0xff, 0xd6, 0x33],
        Class::Syscall => [0x9c, 0x5a, 0x34],
        Class::Mutex => [0xd9, 0x88, 0xe0],
        Class::Sync => [0x5b, 0x4b, 0xd0],
        Class::Network => [0x2f, 0xb9, 0x8c],
        Class::Chan => [0x4c, 0x97, 0xfa],
        Class::Select => [0xa3, 0xe0, 0xfb],
        Class::Sleep => [0x8b, 0x91, 0x9c],
        Class::Gc => [0xb9, 0xd8, 0x73],
        Class::Other => [0xef, 0xeb, 0xd8],
    }
}

/// Relative luminance, as WCAG 2 defines it.
pub(super) fn luminance(colour: Colour) -> f64 {
    let [r, g, b] = colour.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Contrast of two colours, as WCAG 2 defines it: 1 to 21.
pub(super) fn contrast(a: Colour, b: Colour) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn mix(a: Colour, b: Colour, share: f64) -> Colour {
    let mut mixed = a;
    for (value, other) in mixed.iter_mut().zip(b) {
        *value = (f64::from(*value) * share + f64::from(other) * (1.0 - share)).round() as u8;
    }
    mixed
}

/// The text colour that is best read on a class' full colour: dark or white.
fn ink_on(class: Class) -> Colour {
    let white = [0xff; 3];
    if contrast(colour(class), INK) >= contrast(colour(class), white) { INK } else { white }
}

fn hex([r, g, b]: Colour) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// CSS: `.aN` fills with the full colour of class N, `.fN` with its tint, and `.tN` is text on the full colour.
pub(super) fn css() -> String {
    let tints = |(background, _): (Colour, Colour)| -> String {
        let tint = |class: Class| format!(".f{}{{fill:{}}}", class.index(), hex(mix(colour(class), background, TINT)));
        Class::ALL.into_iter().map(tint).collect()
    };
    let full = |class: Class| {
        let (n, ink) = (class.index(), hex(ink_on(class)));
        format!(".a{n}{{fill:{}}}text.t{n}{{fill:{ink}}}", hex(colour(class)))
    };
    format!(
        "{}\n{}\n@media(prefers-color-scheme:dark){{{}}}\n",
        Class::ALL.into_iter().map(full).collect::<String>(),
        tints(LIGHT),
        tints(DARK)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [[f64; 3]; 3];

    const NORMAL: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    /// What is seen of linear RGB by people without one kind of cone: Machado, Oliveira, Fernandes: "A
    /// Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1.
    const PROTANOPIA: Matrix =
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]];
    const DEUTERANOPIA: Matrix =
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]];
    const TRITANOPIA: Matrix =
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]];

    fn times(matrix: Matrix, v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }

    /// CIE L*a*b* under D65.
    fn lab(colour: Colour, vision: Matrix) -> [f64; 3] {
        let linear = colour.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        let seen = times(vision, linear).map(|value| value.clamp(0.0, 1.0));
        let xyz = times([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], seen);
        let [x, y, z] = [xyz[0] / 0.9505, xyz[1], xyz[2] / 1.089]
            .map(|t| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn no_two_colours_look_alike_to_anybody() {
        for (name, vision) in
            [("all cones", NORMAL), ("no L", PROTANOPIA), ("no M", DEUTERANOPIA), ("no S", TRITANOPIA)]
        {
            for a in Class::ALL {
                for b in Class::ALL.into_iter().filter(|b| b.index() < a.index()) {
                    let (p, q) = (lab(colour(a), vision), lab(colour(b), vision));
                    let distance = (0..3).map(|i| (p[i] - q[i]).powi(2)).sum::<f64>().sqrt();
                    assert!(distance >= 15.0, "{a:?} and {b:?} are {distance:.1} apart with {name}");
                }
            }
        }
    }

    #[test]
    fn text_can_be_read_on_every_box() {
        for class in Class::ALL {
            let on_full = contrast(colour(class), ink_on(class));
            assert!(on_full >= 4.5, "{class:?}, full: {on_full:.1}");
            for (background, text) in [LIGHT, DARK] {
                let on_tint = contrast(mix(colour(class), background, TINT), text);
                assert!(on_tint >= 4.5, "{class:?}, tint on {background:?}: {on_tint:.1}");
            }
        }
    }
}
