"""Published models as rows of facts, as pictures drawn from these, and as the gallery's
page.

Reading order: `rows` (what a description is made of); one module a mechanism that puts
its record into rows (`norms`, `positions`, `attention`, `latent`, `recurrent`,
`feed_forward`, `ends`); `mixers` (which of them a mixer goes to), `stack` and
`describe`; then what is read off the rows: `facts`, `differences`.
"""
