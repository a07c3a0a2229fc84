"""Two A4 pages, two columns, by ReportLab: the answers to the course's five items."""

import pathlib
from xml.sax.saxutils import escape

from kzoo import UserError, files
from kzoo.lab import drawings, findings, measurements, plan, tables

PAGES, BYTES = 2, 5 * 10**6  # what the course allows
TITLE = "Human pose and segmentation on COCO"
SCALES = (1.0, 0.92, 0.84, 0.76, 0.68)  # of the figures: the first with which the text fits
MARGIN_MM, TITLE_MM = 14, 14
CURVES = ("regression", "overfitting", "joints", "iou")  # figures without photographs
BLUE = "#1f3d5c"


def needed():
    """ReportLab. Raises UserError where it is not installed."""
    try:
        import reportlab
    except ImportError as error:
        raise UserError("the report is laid out by ReportLab: pip install reportlab") from error
    return reportlab


def figures_of(found: dict, poses: dict | None, pictures: dict | None) -> dict:
    """{name: matplotlib figure} of what there is."""
    rows = found["rows"]
    mean = found["baselines"].get("mean_pose_px")

    def chosen(names):
        return {words: rows[name] for name, words in names.items() if name in rows}

    networks = {name: name for name in (plan.FCN, plan.ENCDEC, plan.UNET)}
    first = chosen({plan.IMAGENET: "ImageNet", plan.SCRATCH: "scratch"})
    second = chosen({plan.SOFTARGMAX: "base", plan.NO_AUGMENTATION: "no augmentation"})
    third = chosen(networks)
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


class Story:
    """The flowables of the report, one after another.

    Args:
        told: sentences of each part; drawn: name -> (file, width and height in inches); scale: of the figures.
    """

    def __init__(self, told: dict[str, list[str]], drawn: dict, scale: float):
        from reportlab.lib.styles import ParagraphStyle

        text = ParagraphStyle("text", fontName="Helvetica", fontSize=9, leading=11, spaceAfter=2.5)
        small = ParagraphStyle("small", parent=text, fontSize=7.2, leading=8.7, spaceAfter=2)
        bold = {"fontName": "Helvetica-Bold", "textColor": BLUE, "keepWithNext": 1}
        headed = {"fontSize": 10, "leading": 12, "spaceBefore": 5, "spaceAfter": 2}
        self.styles = {
            "text": text,
            "small": small,
            "caption": ParagraphStyle("caption", parent=small, textColor="#444444", spaceAfter=4),
            "heading": ParagraphStyle("heading", parent=text, **bold, **headed),
            "title": ParagraphStyle("title", parent=text, **bold, fontSize=16, leading=19, spaceAfter=2),
            "warning": ParagraphStyle("warning", parent=text, textColor="#b00020"),
        }
        self.told = told
        self.drawn = drawn
        self.scale = scale
        self.flowables = []

    def say(self, words: str, style: str = "text"):
        """A paragraph, in ReportLab's markup."""
        from reportlab.platypus import Paragraph

        self.flowables.append(Paragraph(words, self.styles[style]))

    def part(self, name: str):
        """The sentences of a part of the report."""
        self.say(escape(" ".join(self.told[name])))

    def picture(self, name: str, caption: str):
        """A figure with its caption; nothing where it was not drawn."""
        from reportlab.platypus import Image, KeepTogether, Paragraph

        if name in self.drawn:
            encoded, inches = self.drawn[name]
            width, height = (side * 72 * self.scale for side in inches)
            below = Paragraph(caption, self.styles["caption"])
            self.flowables.append(KeepTogether([Image(encoded, width, height), below]))

    def table(self, cells: list[list[str]]):
        """Header and rows, as wide as a column."""
        from reportlab.lib import colors
        from reportlab.lib.units import mm
        from reportlab.pdfbase.pdfmetrics import stringWidth
        from reportlab.platypus import Paragraph, Table

        columns = zip(*cells, strict=True)
        widths = [max(stringWidth(cell, "Helvetica-Bold", 7.2) for cell in column) + 5 for column in columns]
        widths[0] = drawings.WIDTH_MM * mm - sum(widths[1:])
        rows = [[Paragraph(escape(row[0]), self.styles["small"]), *row[1:]] for row in cells]
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
        self.flowables.append(Table(rows, colWidths=widths, style=style, spaceAfter=3, spaceBefore=2))


def story(found: dict, told: dict[str, list[str]], command: str, drawn: dict, scale: float) -> list:
    """Flowables of the report, the title first. drawn: name -> (file, width and height in inches), shown at `scale`."""
    from reportlab.platypus import FrameBreak, Spacer

    report = Story(told, drawn, scale)
    report.say(TITLE, "title")
    report.say(tables.subtitle(found), "small")
    report.flowables.append(FrameBreak())
    for name, why in found["failed"].items():
        report.say(f"Failed: <b>{escape(name)}</b>: {escape(why[:200])}", "warning")
    pose_items(report, found)
    failure_item(report, found)
    segmentation_item(report, found)
    report.say("Conditions", "heading")
    for line in tables.conditions(found, command):
        report.say(line, "small")
    report.flowables.append(Spacer(1, 1))
    return report.flowables


def pose_items(report: Story, found: dict):
    """Items 1 to 3."""
    report.say("1  MPJPE over the epochs, from ImageNet", "heading")
    report.part("evolution")
    report.picture("regression", "Scalar regression: training set dashed, evaluation set solid.")
    report.say("2  What the ImageNet initialisation brings", "heading")
    report.part("initialisation")
    report.say("3  Design choices, and regression against soft-argmax", "heading")
    report.part("choices")
    report.table(tables.pose_table(found))
    report.say(
        "Base: maps at stride 4, skips, a regulariser (Jensen-Shannon divergence to a Gaussian of one cell, weight "
        "0.5), L1 loss. A row with a dash changes one thing of it. MPJPE, train and gap in px of a 256-px crop; min: "
        "CPU minutes.",
        "caption",
    )
    report.part("heads")


def failure_item(report: Story, found: dict):
    """Item 4."""
    rows = found["rows"]
    best = measurements.best_softargmax(rows)
    best_words = ""
    if best:
        best_words = escape("base" if best == plan.SOFTARGMAX else rows[best]["words"])
    report.say("4  Poses, latent maps, failures, overfitting", "heading")
    report.part("failures")
    shares = tables.cause_table(found, heads_of(rows))
    if len(shares) > 1:
        report.table(shares)
    report.say(
        "Causes after Ronchi and Perona (ICCV 2017) by keypoint similarity ks: good, ks of 0.85 or more; of the others "
        "occluded: the truth is hidden; jitter: ks of 0.5 or more; left-right: so near the mirrored joint; miss: all "
        "else.",
        "caption",
    )
    report.picture("joints", f"MPJPE by joint: regression from ImageNet, and soft-argmax ({best_words}).")
    report.picture(
        "persons",
        f"Soft-argmax ({best_words}): persons at the 10th, 50th and 90th percentile of their MPJPE. Left limbs orange, "
        "right ones cyan. All joints: each map scaled to a peak of 1.",
    )
    report.part("maps")
    report.picture("maps", "Latent maps of single joints for the median person, each scaled to its peak.")
    report.picture("failures", "The worst joints of each cause: truth a blue ring, answer an orange cross.")
    report.picture("overfitting", "Soft-argmax with (base) and without augmentation.")
    report.part("overfitting")


def segmentation_item(report: Story, found: dict):
    """Item 5."""
    chosen_by = next((name for name in (plan.UNET, plan.ENCDEC, plan.FCN) if name in found["rows"]), "")
    size = f"{found['conditions']['seg']['size']}-px inputs" if "seg" in found["conditions"] else ""
    report.say("5  Encoder alone, with a decoder, with skips", "heading")
    report.part("networks")
    report.table(tables.seg_table(found))
    report.say(f"IoU on the evaluation set at {size}; <i>train</i>: mIoU of the training set.", "caption")
    report.picture("iou", "mIoU over the epochs.")
    report.picture(
        "segmentations",
        f"Pictures at the 10th, 40th, 60th and 90th percentile of {chosen_by}'s error; person coloured; IoU below.",
    )


def document_at(path):
    """An empty document of two columns, with a band for the title on the first page."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    width, height = A4
    margin, band, column = (side * mm for side in (MARGIN_MM, TITLE_MM, drawings.WIDTH_MM))
    inner = height - 2 * margin
    plain = {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0}

    def columns(height, name):
        left, right = margin, width - margin - column
        return [Frame(x, margin, column, height, id=f"{name}{i}", **plain) for i, x in enumerate((left, right))]

    def number(canvas, document):
        canvas.setFont("Helvetica", 7)
        canvas.drawCentredString(width / 2, 7 * mm, f"{canvas.getPageNumber()}")

    title = Frame(margin, height - margin - band, width - 2 * margin, band, id="title", **plain)
    frames = [title, *columns(inner - band, "first")]
    document = BaseDocTemplate(str(path), pagesize=A4, invariant=1, title=TITLE, author="")
    document.addPageTemplates(
        [
            PageTemplate("first", frames, onPage=number, autoNextPageTemplate="later"),
            PageTemplate("later", columns(inner, "later"), onPage=number),
        ]
    )
    return document


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
    from reportlab.platypus.doctemplate import LayoutError

    encoded = {}
    for name, figure in drawn.items():
        kind = "png" if name in CURVES else "jpeg"
        encoded[name] = (drawings.encoded(figure, kind), figure.get_size_inches())
    with files.replacing(pathlib.Path(path)) as temporary:
        for scale in SCALES:
            document = document_at(temporary)
            try:
                document.build(story(found, told, command, encoded, scale))
            except LayoutError as error:  # something is larger than a column: smaller figures may fit
                if scale == SCALES[-1]:
                    reason = " ".join(str(error).split())[:200]
                    raise UserError(f"the report could not be laid out: {reason}") from error
                continue
            if document.page <= PAGES:
                break
        size = temporary.stat().st_size
        if document.page > PAGES or size > BYTES:
            raise UserError(
                f"the report takes {document.page} pages and {size / 1e6:.1f} MB; the course allows {PAGES} and "
                f"{BYTES / 1e6:.0f}"
            )
    return document.page
