//! How everything looks: one style sheet, two schemes.

/// Width of every document, in its own units.
pub(super) const WIDTH: f64 = 360.0;

/// Room at the left and right edge.
pub(super) const MARGIN: f64 = 10.0;

/// Colours that lines can have before they repeat.
pub(super) const COLOURS: usize = 5;

/// About how wide a letter of the ordinary text is.
pub(super) const LETTER: f64 = 5.9;

/// The style sheet. Lines and the text beside them have one colour, which has a contrast of at least 4.5 to the
/// background (WCAG 2.2, 1.4.3); the hues are those of Okabe and Ito, made darker or lighter for that.
pub(super) const CSS: &str = "
.plot{max-width:100%;height:auto;font:11px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
.plot .back{fill:#ffffff}
.plot text{fill:#1f2328;font-variant-numeric:tabular-nums}
.plot .head{font-size:13px;font-weight:600}
.plot .soft{fill:#59636e}
.plot .small{font-size:9px}
.plot .strong{font-weight:600}
.plot .middle{text-anchor:middle}
.plot .end{text-anchor:end}
.plot .rule{stroke:#d8dee4;stroke-width:1}
.plot .base{stroke:#818b98;stroke-width:1}
.plot .mark{stroke:#818b98;stroke-width:1;stroke-dasharray:2 3}
.plot .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.plot .dashed{stroke-dasharray:1 4}
.plot .c0{stroke:#0068a3}.plot .f0{fill:#0068a3}
.plot .c1{stroke:#b34e00}.plot .f1{fill:#b34e00}
.plot .c2{stroke:#00775a}.plot .f2{fill:#00775a}
.plot .c3{stroke:#9a4577}.plot .f3{fill:#9a4577}
.plot .c4{stroke:#59636e}.plot .f4{fill:#59636e}
.plot .good{fill:#0068a3}
.plot .bad{fill:#b34e00}
.plot .cell{stroke:#d8dee4;stroke-width:.5}
.plot .on{fill:#ffffff}
.plot .edge{fill:none;stroke:#818b98;stroke-width:.5}
.plot image{image-rendering:pixelated}
@media (prefers-color-scheme:dark){
.plot .back{fill:#0d1117}
.plot text{fill:#f0f6fc}
.plot .soft{fill:#9198a1}
.plot .rule{stroke:#2a313c}
.plot .base,.plot .mark,.plot .edge{stroke:#656c76}
.plot .c0{stroke:#56b4e9}.plot .f0{fill:#56b4e9}
.plot .c1{stroke:#f0a030}.plot .f1{fill:#f0a030}
.plot .c2{stroke:#2fc59a}.plot .f2{fill:#2fc59a}
.plot .c3{stroke:#e79ac6}.plot .f3{fill:#e79ac6}
.plot .c4{stroke:#9198a1}.plot .f4{fill:#9198a1}
.plot .good{fill:#56b4e9}
.plot .bad{fill:#f0a030}
.plot .cell{stroke:#2a313c}
.plot .on{fill:#0d1117}
}
";
