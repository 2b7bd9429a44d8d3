/** Draws charts when they come into view, and again where width, theme or paper ask for it. */
import { CustomChart, LineChart } from "echarts/charts";
import { GridComponent, LegendPlainComponent, TooltipComponent } from "echarts/components";
import { type ECharts, init, use } from "echarts/core";
import { LabelLayout } from "echarts/features";
import { SVGRenderer } from "echarts/renderers";
import type { ChartSpec } from "../page-data.js";
import { DARK, LIGHT } from "../palette.js";
import { type ChartTheme, drawingOf } from "./chart-options.js";
import { all } from "./dom.js";
import { isDark, onThemeChange } from "./theme.js";

use([CustomChart, LineChart, GridComponent, LegendPlainComponent, TooltipComponent, LabelLayout, SVGRenderer]);

/** A4 less its margins, in CSS pixels: 184 mm. */
const PAPER_WIDTH = 695;

export function startCharts(specs: Readonly<Record<string, ChartSpec>>): void {
  const drawn = new Map<HTMLElement, ECharts>();
  let paper = false;
  const draw = (node: HTMLElement): void => {
    const spec = specs[node.dataset.chart ?? ""];
    const width = paper ? PAPER_WIDTH : node.clientWidth;
    if (spec === undefined || width === 0) return;
    const theme: ChartTheme = isDark() && !paper ? DARK : LIGHT;
    const { option, height } = drawingOf(spec, theme, width);
    node.style.height = `${height}px`;
    let chart = drawn.get(node);
    if (chart === undefined) {
      chart = init(node, null, { renderer: "svg", width, height });
      drawn.set(node, chart);
    }
    chart.resize({ width, height });
    chart.setOption(option, { notMerge: true });
    // Now and not in the next frame: paper does not wait for one.
    chart.getZr().flush();
  };
  const nodes = all(".chart");
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries)
        if (isIntersecting && !drawn.has(target as HTMLElement)) draw(target as HTMLElement);
    },
    { rootMargin: "600px" },
  );
  for (const node of nodes) {
    // Room before it is drawn, so that nothing jumps.
    node.style.minHeight = "12rem";
    seen.observe(node);
  }
  const drawAgain = (): void => {
    for (const node of drawn.keys()) draw(node);
  };
  let width = window.innerWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width || paper) return;
    width = window.innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAgain);
  });
  onThemeChange(drawAgain);
  // On paper every chart is there, light, and as wide as the sheet.
  const setPaper = (on: boolean): void => {
    if (paper === on) return;
    paper = on;
    if (on) for (const node of nodes) if (node.closest("[hidden]") === null) draw(node);
    if (!on) drawAgain();
  };
  window.addEventListener("beforeprint", () => setPaper(true));
  window.addEventListener("afterprint", () => setPaper(false));
  window.matchMedia("print").addEventListener("change", ({ matches }) => setPaper(matches));
}
