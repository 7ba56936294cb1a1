"""Markdown with $math$ as plain text, for a terminal and for a table: `$2 \\cdot n$` is
`2 · n`.
"""

import re

SYMBOLS = {
    **{
        "cdot": "·",
        "times": "×",
        "le": "≤",
        "ge": "≥",
        "ne": "≠",
        "approx": "≈",
        "sum": "Σ",
        "in": "∈",
    },
    **{
        "dots": "…",
        "ldots": "…",
        "cdots": "…",
        "to": "→",
        "infty": "∞",
        "propto": "∝",
        "pm": "±",
        "odot": "⊙",
    },
    **{
        "lfloor": "⌊",
        "rfloor": "⌋",
        "lceil": "⌈",
        "rceil": "⌉",
        "bmod": "mod",
        "sqrt": "√",
        "partial": "∂",
    },
    **{
        "alpha": "α",
        "beta": "β",
        "gamma": "γ",
        "delta": "δ",
        "epsilon": "ε",
        "theta": "θ",
        "lambda": "λ",
    },
    **{
        "mu": "μ",
        "pi": "π",
        "rho": "ρ",
        "sigma": "σ",
        "tau": "τ",
        "phi": "φ",
        "omega": "ω",
    },
    **{
        "Delta": "Δ",
        "Pi": "Π",
        "Sigma": "Σ",
        "Omega": "Ω",
        "top": "T",
        "ell": "ℓ",
        "mathbb": "",
        "mid": "|",
    },
}
SIMPLE = r"\{([^{}]*)\}"


def plain(markdown: str) -> str:
    r"""Return the text without markup, its formulas in Unicode as far as that goes.

    >>> plain(r"**At most** $\lfloor n / 2 \rfloor$ of `G`")
    'At most ⌊n / 2⌋ of G'
    """
    parts = re.split(r"(?<!\\)\$([^$]*)\$", markdown)
    parts[1::2] = map(_formula, parts[1::2])
    text = "".join(parts).replace("\\$", "$")
    text = re.sub(r"`([^`]*)`", r"\1", text)
    text = re.sub(
        r"\*\*(.+?)\*\*|(?<![\w*])\*([^*\s][^*]*)\*(?!\w)", lambda m: m[1] or m[2], text
    )
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)


def _formula(latex: str) -> str:
    """Return a formula in one line of Unicode; a command that is not known keeps its
    name.
    """
    text = (
        latex.replace("{,}", ",")
        .replace("\\%", "%")
        .replace("\\{", "\0")
        .replace("\\}", "\1")
    )
    text = re.sub(r"\\sqrt\s*" + SIMPLE, r"√(\1)", text)
    text = re.sub(
        r"\\(?:text|mathrm|mathbf|operatorname|boldsymbol)\s*" + SIMPLE, r"\1", text
    )
    text = re.sub(r"\\[td]?frac\s*" + SIMPLE + SIMPLE, r"(\1)/(\2)", text)
    text = re.sub(r"\\(?:left|right|big|Big|bigl|bigr)(?![A-Za-z])\.?", "", text)
    text = re.sub(r"\\[,;:! ]|~", " ", text)
    text = re.sub(r"\\([A-Za-z]+) ?", lambda m: _symbol(m[1], m[0]), text)
    text = re.sub(
        r"([_^])" + SIMPLE,
        lambda m: m[1] + (m[2] if re.fullmatch(r"\w+", m[2]) else f"({m[2]})"),
        text,
    )
    text = text.replace("{", "").replace("}", "").replace("\0", "{").replace("\1", "}")
    return re.sub(r"\s+(?=[⌋⌉]|\s)", "", text).strip()


def _symbol(name: str, whole: str) -> str:
    """Return the sign of a command, with the space that follows it where words or
    operators need one.
    """
    sign = SYMBOLS.get(name, name)
    attached = sign in ("⌊", "⌈", "√", "")
    return sign + (" " if whole.endswith(" ") and not attached else "")
