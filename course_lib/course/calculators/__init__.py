"""Calculators of the pages: the functions of `costs`, traced with symbols, as LaTeX and
as JavaScript.

Reading order: `inputs` (what a reader may enter), `symbolic` (a published model with
symbols in the place of its numbers), `printing` (an expression as LaTeX and as
JavaScript), `definition` (what a calculator is), `against` (what several plot against),
then the calculators (`memory`, `concurrency`, `seconds`, `request`, `attention`,
`choice`), `presets` (what they start from), and `emit`, which makes what the page
loads. Apart from these,
`expressions` and `translate` turn modules of the library into JavaScript, and `config`
makes of them the reader of a pasted config.json.
"""
