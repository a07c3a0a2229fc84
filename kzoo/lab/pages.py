"""Two A4 pages, two columns, by ReportLab: the answers to the course's five items."""

import pathlib
from xml.sax.saxutils import escape

from kzoo import UserError, files
from kzoo.lab import drawings, findings, measurements, plan, tables

PAGES, BYTES = 2, 5 * 10**6  # what the course allows
SCALES = (1.0, 0.92, 0.84, 0.76, 0.68)  # of the figures: the first with which the text fits
MARGIN_MM, TITLE_MM = 14, 14
CURVES = ("regression", "overfitting", "joints", "iou")  # figures without photographs
BLUE = "#1f3d5c"


def needed():
    """ReportLab. Raises UserError where it is not installed."""
    try:
        import reportlab
    except ImportError as error:
        raise UserError("the report is laid out by ReportLab: pip install 'kzoo[lab]'") from error
    return reportlab


def figures_of(found: dict, poses: dict | None, pictures: dict | None) -> dict:
    """{name: matplotlib figure} of what there is."""
    rows, mean = found["rows"], found["baselines"].get("mean_pose_px")

    def chosen(names):
        return {words: rows[name] for name, words in names.items() if name in rows}

    networks = {name: name for name in (plan.FCN, plan.ENCDEC, plan.UNET)}
    first, second, third = (
        chosen(names)
        for names in (
            {plan.IMAGENET: "ImageNet", plan.SCRATCH: "scratch"},
            {plan.SOFTARGMAX: "base", plan.NO_AUGMENTATION: "no augmentation"},
            networks,
        )
    )
    joints = {words: r["tables"]["MPJPE per joint (px)"] for words, r in chosen(heads_of(rows)).items()}
    regularised = {plan.SOFTARGMAX: "base", plan.NO_REGULARISER: "no regulariser"}
    drawn = {
        "regression": drawings.curves(first, findings.TARGETS["regression"], mean) if first else None,
        "overfitting": drawings.curves(second, findings.TARGETS["softargmax"], None) if second else None,
        "joints": drawings.joint_bars(joints) if joints else None,
        "persons": drawings.persons(poses) if poses else None,
        "maps": drawings.compared_maps(poses, regularised) if poses else None,
        "failures": drawings.failures(poses) if poses else None,
        "iou": drawings.iou_curves(third) if third else None,
        "segmentations": drawings.segmentations(pictures, networks) if pictures else None,
    }
    return {name: figure for name, figure in drawn.items() if figure}


def heads_of(rows: dict) -> dict[str, str]:
    """{row: words} of the two heads that are compared: regression and the best soft-argmax."""
    best = measurements.best_softargmax(rows)
    return {
        **({plan.IMAGENET: "regression"} if plan.IMAGENET in rows else {}),
        **({best: "soft-argmax"} if best else {}),
    }


def story(found: dict, told: dict[str, list[str]], command: str, drawn: dict, scale: float) -> list:
    """Flowables of the report, the title first. drawn: name -> (file, width and height in inches), shown at `scale`."""
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from reportlab.platypus import FrameBreak, Image, KeepTogether, Paragraph, Spacer, Table

    text = ParagraphStyle("text", fontName="Helvetica", fontSize=9, leading=11, spaceAfter=2.5)
    small = ParagraphStyle("small", parent=text, fontSize=7.2, leading=8.7, spaceAfter=2)
    caption = ParagraphStyle("caption", parent=small, textColor=colors.HexColor("#444444"), spaceAfter=4)
    heading = ParagraphStyle(
        "heading",
        parent=text,
        fontName="Helvetica-Bold",
        fontSize=10,
        leading=12,
        spaceBefore=5,
        spaceAfter=2,
        textColor=BLUE,
        keepWithNext=1,
    )
    title = ParagraphStyle("title", parent=heading, fontSize=16, leading=19, spaceBefore=0)
    warning = ParagraphStyle("warning", parent=text, textColor=colors.HexColor("#b00020"))

    def picture(name: str, words: str) -> list:
        if name not in drawn:
            return []
        encoded, inches = drawn[name]
        width, height = (side * 72 * scale for side in inches)
        return [KeepTogether([Image(encoded, width, height), Paragraph(words, caption)])]

    def table(cells: list[list[str]]) -> Table:
        widths = [
            max(stringWidth(cell, "Helvetica-Bold", 7.2) for cell in column) + 5 for column in zip(*cells, strict=True)
        ]
        widths[0] = drawings.WIDTH_MM * mm - sum(widths[1:])
        cells = [[Paragraph(escape(row[0]), small), *row[1:]] for row in cells]
        style = [
            ("FONT", (0, 0), (-1, -1), "Helvetica", 7.2),
            ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 6.8),
            ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.6, colors.HexColor(BLUE)),
            ("LINEBELOW", (0, -1), (-1, -1), 0.6, colors.HexColor(BLUE)),
            ("TOPPADDING", (0, 0), (-1, -1), 0.6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 0.6),
            ("LEFTPADDING", (0, 0), (-1, -1), 1),
            ("RIGHTPADDING", (0, 0), (-1, -1), 1),
        ]
        return Table(cells, colWidths=widths, style=style, spaceAfter=3, spaceBefore=2)

    def part(name: str) -> list:
        return [Paragraph(escape(" ".join(told[name])), text)]

    best = measurements.best_softargmax(found["rows"])
    best_words = escape("base" if best == plan.SOFTARGMAX else found["rows"][best]["words"]) if best else ""
    shares = tables.cause_table(found, heads_of(found["rows"]))
    chosen_by = next((name for name in (plan.UNET, plan.ENCDEC, plan.FCN) if name in found["rows"]), "")
    size = f"{found['conditions']['seg']['size']}-px inputs" if "seg" in found["conditions"] else ""
    failed = [
        Paragraph(f"Failed: <b>{escape(name)}</b>: {escape(why[:200])}", warning)
        for name, why in found["failed"].items()
    ]
    return [
        Paragraph("Human pose and segmentation on COCO", title),
        Paragraph(tables.subtitle(found), small),
        FrameBreak(),
        *failed,
        Paragraph("1  MPJPE over the epochs, from ImageNet", heading),
        *part("evolution"),
        *picture("regression", "Scalar regression: training set dashed, evaluation set solid."),
        Paragraph("2  What the ImageNet initialisation brings", heading),
        *part("initialisation"),
        Paragraph("3  Design choices, and regression against soft-argmax", heading),
        *part("choices"),
        table(tables.pose_table(found)),
        Paragraph(
            "Base: maps at stride 4, skips, a regulariser (Jensen-Shannon divergence to a Gaussian of one cell, weight 0.5), L1 loss. "
            "A row with a dash changes one thing of it. MPJPE, train and gap in px of a 256-px crop; min: CPU minutes.",
            caption,
        ),
        *part("heads"),
        Paragraph("4  Poses, latent maps, failures, overfitting", heading),
        *part("failures"),
        *([table(shares)] if len(shares) > 1 else []),
        Paragraph(
            "Causes after Ronchi and Perona (ICCV 2017) by keypoint similarity ks: good, ks of 0.85 or more; of the others occluded: the "
            "truth is hidden; jitter: ks of 0.5 or more; left-right: so near the mirrored joint; miss: all else.",
            caption,
        ),
        *picture("joints", f"MPJPE by joint: regression from ImageNet, and soft-argmax ({best_words})."),
        *picture(
            "persons",
            f"Soft-argmax ({best_words}): persons at the 10th, 50th and 90th percentile of their MPJPE. Left limbs orange, right "
            "ones cyan. All joints: each map scaled to a peak of 1.",
        ),
        *part("maps"),
        *picture("maps", "Latent maps of single joints for the median person, each scaled to its peak."),
        *picture("failures", "The worst joints of each cause: truth a green ring, answer a red cross."),
        *picture("overfitting", "Soft-argmax with (base) and without augmentation."),
        *part("overfitting"),
        Paragraph("5  Encoder alone, with a decoder, with skips", heading),
        *part("networks"),
        table(tables.seg_table(found)),
        Paragraph(f"IoU on the evaluation set at {size}; <i>train</i>: mIoU of the training set.", caption),
        *picture("iou", "mIoU over the epochs."),
        *picture(
            "segmentations",
            f"Pictures at the 10th, 40th, 60th and 90th percentile of {chosen_by}'s error; person red; below: its IoU.",
        ),
        Paragraph("Conditions", heading),
        *(Paragraph(line, small) for line in tables.conditions(found, command)),
        Spacer(1, 1),
    ]


def write(path, found: dict, told: dict[str, list[str]], command: str, drawn: dict) -> int:
    """Lay the report out and write it.

    Args:
        path: of the PDF; found: of `measurements.collect`; told: of `findings.findings`; command: that made it; drawn:
        of `figures_of`.
    Returns:
        its pages.
    Raises:
        UserError: it does not fit on two pages or into five megabytes, a part of it not into a column, or ReportLab is
        missing.
    """
    needed()
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate
    from reportlab.platypus.doctemplate import LayoutError

    path, (page_width, page_height) = pathlib.Path(path), A4
    height, plain = (
        page_height - 2 * MARGIN_MM * mm,
        {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0},
    )

    def columns(height, name):
        xs = (MARGIN_MM * mm, page_width - (MARGIN_MM + drawings.WIDTH_MM) * mm)
        return [
            Frame(x, MARGIN_MM * mm, drawings.WIDTH_MM * mm, height, id=f"{name}{i}", **plain) for i, x in enumerate(xs)
        ]

    def number(canvas, document):
        canvas.setFont("Helvetica", 7)
        canvas.drawCentredString(page_width / 2, 7 * mm, f"{canvas.getPageNumber()}")

    band = Frame(
        MARGIN_MM * mm,
        page_height - (MARGIN_MM + TITLE_MM) * mm,
        page_width - 2 * MARGIN_MM * mm,
        TITLE_MM * mm,
        id="title",
        **plain,
    )
    with files.replacing(path) as temporary:
        encoded = {
            name: (drawings.encoded(figure, "png" if name in CURVES else "jpeg"), figure.get_size_inches())
            for name, figure in drawn.items()
        }
        for scale in SCALES:
            document = BaseDocTemplate(
                str(temporary), pagesize=A4, invariant=1, title="Human pose and segmentation on COCO", author=""
            )
            first = PageTemplate(
                "first", [band, *columns(height - TITLE_MM * mm, "first")], onPage=number, autoNextPageTemplate="later"
            )
            document.addPageTemplates([first, PageTemplate("later", columns(height, "later"), onPage=number)])
            try:
                document.build(story(found, told, command, encoded, scale))
            except LayoutError as error:  # something is larger than a column: smaller figures may fit
                if scale == SCALES[-1]:
                    raise UserError(
                        f"the report could not be laid out: {' '.join(str(error).split())[:200]}"
                    ) from error
                continue
            if document.page <= PAGES:
                break
        size = temporary.stat().st_size
        if document.page > PAGES or size > BYTES:
            raise UserError(
                f"the report takes {document.page} pages and {size / 1e6:.1f} MB; the course allows {PAGES} and {BYTES / 1e6:.0f}"
            )
    return document.page
