/** The report's style: light and dark, wide and narrow, and A4 paper. Colours come from palette.ts. */
import { DARK, LIGHT, STEPS_A_SIDE, themeVariables } from "./palette.js";

const STEPS = Array.from(
  { length: 2 * STEPS_A_SIDE + 1 },
  (_, index) => `.s${index}{background:var(--step-${index});color:var(--ink-${index})}`,
).join("");

export const REPORT_STYLE = `
:root{color-scheme:light;${themeVariables(LIGHT)}}
@media screen{
:root[data-theme=dark]{color-scheme:dark;${themeVariables(DARK)}}
}
@media screen and (prefers-color-scheme:dark){
:root:not([data-theme=light]){color-scheme:dark;${themeVariables(DARK)}}
}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--surface);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:1rem;background:var(--surface);padding:.5rem 1rem;z-index:2}
a{color:var(--accent)}
.top,.columns{max-width:84rem;margin:0 auto;padding:0 1.5rem}
.top{padding-top:1.25rem}
.bar{display:flex;justify-content:space-between;align-items:center;margin-bottom:1.5rem}
.mark{font-weight:700;letter-spacing:.02em;color:var(--muted)}
h1{font-size:clamp(1.6rem,4vw,2.3rem);line-height:1.15;margin:0 0 .75rem;letter-spacing:-.015em;max-width:22em;text-wrap:balance}
h2{font-size:1.45rem;line-height:1.25;margin:0 0 .5rem;letter-spacing:-.01em}
h3{font-size:1.05rem;margin:2rem 0 .5rem}
h4{font-size:.9rem;margin:1.25rem 0 .25rem;color:var(--muted);font-weight:600}
p{margin:.5rem 0 .8rem;max-width:46rem}
h1,h2,p,li,dd,summary,nav a{overflow-wrap:anywhere}
.lead{font-size:1.1rem;color:var(--muted)}
.tiles{display:flex;flex-wrap:wrap;gap:.5rem 2.25rem;margin:1.25rem 0;padding:1rem 0;border-block:1px solid var(--line)}
.tiles div{display:flex;flex-direction:column-reverse}
.tiles dt{color:var(--muted);font-size:.85rem}
.tiles dd{margin:0;font-size:1.5rem;font-weight:650;line-height:1.2}
.findings{max-width:56rem}
.findings ul{margin:.25rem 0;padding-left:1.2rem}
.findings li{margin:.3rem 0}
.note{border-left:3px solid var(--accent);padding:.1rem 0 .1rem .8rem;max-width:52rem}
.columns{display:grid;grid-template-columns:10rem minmax(0,1fr);gap:2.25rem;margin-top:2.5rem}
nav ol{list-style:none;margin:0;padding:0;position:sticky;top:1.5rem;font-size:.92rem}
nav a{display:block;padding:.3rem 0 .3rem .8rem;border-left:2px solid var(--line);color:var(--muted);text-decoration:none}
nav a:hover,nav a[aria-current]{color:var(--text);border-color:var(--accent)}
section{margin:0 0 4.5rem}
section>p:first-of-type{color:var(--muted);font-size:1.02rem}
button,select{font:inherit;color:inherit;background:var(--surface);border:1px solid var(--edge);border-radius:.4rem;padding:.3rem .7rem;max-width:100%}
button{cursor:pointer}
button:hover{border-color:var(--accent)}
.theme{font-size:.85rem}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.choices{display:flex;flex-wrap:wrap;gap:.6rem 1.25rem;margin:1rem 0 .75rem;align-items:end}
.choices label{display:flex;flex-direction:column;font-size:.8rem;color:var(--muted);gap:.15rem;max-width:100%}
.choices select{color:var(--text);font-size:.92rem}
.views.live>.view>h4{display:none}
.scroll{overflow-x:auto;margin:.75rem 0;position:relative}
table{border-collapse:separate;border-spacing:0}
caption{caption-side:top;text-align:left;font-size:.88rem;color:var(--muted);padding-bottom:.5rem}
caption span{display:inline-block;position:sticky;left:0;max-width:min(46rem,calc(100vw - 2.5rem))}
.heat{border-spacing:3px;font-size:.95rem}
.heat th{font-weight:500;text-align:left;padding:.15rem .6rem .15rem 0;line-height:1.25}
.heat tbody th{position:sticky;left:0;background:var(--surface);z-index:1;max-width:13rem;min-width:5.5rem;overflow-wrap:anywhere}
.heat thead th{vertical-align:bottom;text-align:center;padding:.15rem .25rem .3rem}
.heat thead th span{display:inline-block;max-width:9rem;overflow-wrap:break-word}
.corner{font-size:.78rem;color:var(--muted);vertical-align:bottom;padding:0 .6rem .3rem 0;white-space:nowrap}
.heat tbody td{min-width:7.4rem;height:3.6rem;padding:.25rem .3rem;text-align:center;border-radius:.3rem;position:relative;line-height:1.2}
.heat b{display:block;font-weight:400;font-size:1.05rem;white-space:nowrap}
.heat .clear b{font-weight:700}
.heat i{display:block;font-style:normal;font-size:.76rem;white-space:nowrap}
.heat sup{font-size:.85em;line-height:0;margin-left:.1em}
.heat td[data-cell]{cursor:pointer}
.heat td.own,.swatch.own{box-shadow:inset 0 0 0 2px var(--text)}
.heat td:focus-visible{outline:3px solid var(--accent);outline-offset:1px;z-index:2}
.blank{background:repeating-linear-gradient(135deg,transparent 0 5px,var(--line) 5px 6px)}
.dense{border-spacing:2px;font-size:.82rem}
.dense thead th{height:8.5rem;padding:0 0 .3rem}
.dense thead th span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:8.2rem;line-height:1.1}
.dense tbody td{min-width:2.9rem;height:2.15rem;padding:.1rem}
.dense b{font-size:.82rem}
.dense i{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.legend{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1rem;font-size:.8rem;color:var(--muted);margin:.4rem 0}
.steps{display:flex;list-style:none;margin:0;padding:0;gap:2px;flex-wrap:wrap}
.steps li{min-width:3.1rem;text-align:center;padding:.1rem .25rem;border-radius:.2rem;font-size:.78rem}
.marks{font-size:.82rem;color:var(--muted);max-width:60rem;margin:.5rem 0 .6rem;display:flex;flex-wrap:wrap;gap:.15rem 1.3rem}
.swatch{display:inline-block;width:1em;height:1em;border-radius:.15em;vertical-align:-.15em;margin-right:.1em}
.swatch.own{box-shadow:inset 0 0 0 2px var(--text)}
.readout{font-size:.85rem;min-height:1.5em;margin:-.3rem 0 .5rem;max-width:none;color:var(--muted)}
figure{margin:1rem 0 .5rem}
figcaption{font-size:.88rem;color:var(--muted);max-width:46rem}
.chart{width:100%}
.numbers{margin:.5rem 0 1rem}
summary{cursor:pointer;color:var(--accent);font-size:.9rem;padding:.2rem 0}
.plain{font-size:.88rem;min-width:60%}
.plain th,.plain td{text-align:left;padding:.32rem 1.1rem .32rem 0;border-bottom:1px solid var(--line);font-weight:400;white-space:nowrap}
.plain thead th{color:var(--muted);vertical-align:bottom}
.plain .n{text-align:right}
.conclude p{margin:.35rem 0}
.conclude{background:var(--panel);border-radius:.5rem;padding:.6rem 1.1rem;margin:1.25rem 0 0;font-size:.93rem;max-width:60rem;display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:0 2rem}
dl.facts{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.35rem 1.5rem;margin:.5rem 0 1rem;font-size:.92rem}
.facts dt{color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.tools{display:flex;gap:.5rem;margin:.25rem 0}
.tools button{font-size:.8rem;padding:.15rem .55rem;color:var(--muted)}
dialog{width:min(46rem,100vw);max-width:100vw;height:100dvh;max-height:100dvh;margin:0 0 0 auto;border:0;border-left:1px solid var(--line);background:var(--surface);color:var(--text);padding:1.5rem 1.75rem 3rem;overflow-y:auto}
dialog::backdrop{background:rgb(0 0 0/.38)}
dialog h2{padding-right:5rem}
dialog .close{position:absolute;top:1.25rem;right:1.5rem}
dialog .big{font-size:2rem;font-weight:650;line-height:1.1;margin:.75rem 0 0}
dialog .big small{font-size:1rem;font-weight:400;color:var(--muted)}
.example{border-top:1px solid var(--line);padding:.9rem 0 .3rem}
.example h4{margin:0 0 .4rem;color:var(--text)}
.example dt{color:var(--muted);font-size:.82rem;margin-top:.5rem}
.example dd{margin:.1rem 0;white-space:pre-wrap;overflow-wrap:anywhere;padding-left:.8rem;border-left:2px solid var(--line)}
${STEPS}
@media (max-width:60rem){
.columns{display:block;margin-top:1.5rem}
nav ol{position:static;display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin-bottom:2.5rem}
nav a{border-left:0;padding:.2rem 0;text-decoration:underline}
}
@media (max-width:40rem){
.top,.columns{padding-inline:1rem}
.tiles{gap:.6rem 1.5rem}
.heat tbody th{max-width:7.6rem;font-size:.82rem;padding-right:.35rem;hyphens:auto}
.heat tbody td{min-width:6.3rem}
.corner{white-space:normal}
.dense tbody td{min-width:2.9rem}
dl.facts{grid-template-columns:1fr;gap:0}
.facts dd{margin-bottom:.6rem}
dialog{padding:1.1rem 1.1rem 3rem}
}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
@page{size:A4;margin:15mm 13mm}
@media print{
html{font-size:8.5pt}
body{font-size:1rem;-webkit-print-color-adjust:exact;print-color-adjust:exact}
.top,.columns{max-width:none;padding:0}
.columns{display:block}
nav,.choices,.theme,.skip,.tools,.readout,dialog,noscript{display:none}
h2,h3,h4,caption,figcaption{break-after:avoid}
.view[hidden]{display:none}
figure,.chart,.heat,.conclude,.legend,.marks,tr{break-inside:avoid}
.scroll{overflow:visible}
.heat{width:100%;font-size:.95rem}
.heat tbody th{position:static;max-width:none}
.heat tbody td{min-width:0;height:2.6rem}
.dense{font-size:.8rem;table-layout:auto}
.dense tbody td{height:1.75rem;padding:0}
.dense b{font-size:.82rem}
.plain th,.plain td{white-space:normal;overflow-wrap:anywhere;padding-right:.6rem}
section{margin-bottom:2.5rem}
details:not([open])>summary{display:none}
}
`;
