"""How pages look: on a phone, on a desk, on paper, by day and by night."""

STYLE = """\
:root {
  --ground: #ffffff; --ink: #1c2024; --dim: #5b6470; --line: #d5dae0; --soft: #f3f5f8;
  --bad: #b3261e; --warn: #8a5a00; --good: #1a7a3c; --link: #0b5cad;
  --s1a: #2f6fdb; --s1b: #12908f; --s1c: #7a4fd0; --s2: #c07a00; --s3: #c8385f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171b; --ink: #e6e9ed; --dim: #9aa4b0; --line: #363d46; --soft: #1d2228;
    --bad: #ff8a80; --warn: #f0bd60; --good: #6fd08c; --link: #7db8ff;
    --s1a: #7aa7ff; --s1b: #55c9c7; --s1c: #b297f5; --s2: #e8ae4a; --s3: #f3839f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
}
main { max-width: 54rem; margin: 0 auto; padding: 1rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); }
p, figcaption { max-width: 46rem; }
a { color: var(--link); }
.dim, figcaption { color: var(--dim); font-size: .9rem; }
figure { margin: 0 0 1rem; max-width: 38rem; }
figcaption { margin-top: .4rem; }
img { max-width: 100%; height: auto; background: #fff; }
figure:has(.broad) { max-width: none; }
.broad { min-width: 46rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); font-family: inherit; }
svg .small { font-size: 11px; fill: var(--dim); }
svg .line { stroke: var(--line); stroke-width: 1; fill: none; }
svg .box { fill: var(--soft); stroke: var(--line); }
svg .ground { fill: var(--ground); }
.s1a { fill: var(--s1a); stroke: var(--s1a); } .s1b { fill: var(--s1b); stroke: var(--s1b); }
.s1c { fill: var(--s1c); stroke: var(--s1c); } .s2 { fill: var(--s2); stroke: var(--s2); }
.s3 { fill: var(--s3); stroke: var(--s3); }
rect.s1a, rect.s1b, rect.s1c, rect.s2, rect.s3 { stroke-width: .5; }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
.offline { fill-opacity: .35; }
svg text.s1a, svg text.s1b, svg text.s1c, svg text.s2, svg text.s3 { stroke: none; }
svg text.s1a { fill: var(--s1a); } svg text.s1b { fill: var(--s1b); }
svg text.s1c { fill: var(--s1c); } svg text.s2 { fill: var(--s2); }
svg text.s3 { fill: var(--s3); }
.curve { fill: none; stroke: var(--s1a); stroke-width: 2; }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .93rem; min-width: 60%; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--dim); font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.n { white-space: normal; }
.below { display: block; color: var(--dim); font-size: .85em; }
.long { overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: .6rem; margin: 1rem 0; }
.facts div { background: var(--soft); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .7rem; }
.facts b { display: block; font-size: 1.25rem; line-height: 1.3; overflow-wrap: anywhere; }
.facts span { color: var(--dim); font-size: .85rem; }
.note { border-left: 4px solid var(--warn); background: var(--soft); padding: .45rem .8rem;
  margin: .5rem 0; }
.bad { border-color: var(--bad); } .good { border-color: var(--good); }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem;
  padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .88rem; }
pre span { display: inline-block; max-width: 100%; }
@media (max-width: 34rem) {
  th, td { padding-right: .5rem; font-size: .8rem; }
}
@media print {
  :root { --ground: #fff; --ink: #000; --dim: #444; --line: #bbb; --soft: #fff;
    --bad: #b3261e; --warn: #8a5a00; --good: #1a7a3c; --link: #000;
    --s1a: #2f6fdb; --s1b: #12908f; --s1c: #7a4fd0; --s2: #c07a00; --s3: #c8385f; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  .broad { min-width: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .note, .facts, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
