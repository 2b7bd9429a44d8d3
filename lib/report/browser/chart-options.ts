/** Chart specs → ECharts options. Nothing here draws, so it is tested without a browser. */
import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from "echarts";
import type { EChartsCoreOption } from "echarts/core";
import { formatDelta, formatInterval, formatLevel, type Unit, unitName } from "../format.js";
import type { ChartSpec } from "../page-data.js";

/** The page's colours, as its style has them now. */
export interface ChartTheme {
  text: string;
  muted: string;
  line: string;
  surface: string;
  series: readonly string[];
}

/** After the last colour the first comes again with another symbol, so that symbols alone tell series apart too. */
const SYMBOLS = ["circle", "rect", "triangle", "diamond"] as const;
/** As the page's style has it: texts are measured before they are drawn, so it has to be named. */
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const NARROW = 560;
const ROW = 15;

export interface Drawing {
  option: EChartsCoreOption;
  height: number;
}

export function drawingOf(spec: ChartSpec, theme: ChartTheme, width: number): Drawing {
  return spec.kind === "intervals" ? intervals(spec, theme, width) : lines(spec, theme, width);
}

type Of<K extends ChartSpec["kind"]> = Extract<ChartSpec, { kind: K }>;

function shared(theme: ChartTheme): EChartsCoreOption {
  return {
    animation: false,
    color: [...theme.series],
    textStyle: { fontFamily: FONT, fontSize: 12, color: theme.text },
    tooltip: {
      trigger: "item",
      backgroundColor: theme.surface,
      borderColor: theme.line,
      textStyle: { color: theme.text, fontSize: 13 },
      confine: true,
    },
  };
}

const axis = (theme: ChartTheme, name: string) => ({
  type: "value" as const,
  name,
  nameLocation: "middle" as const,
  nameGap: 28,
  nameTextStyle: { color: theme.muted, fontSize: 12 },
  axisLabel: { color: theme.muted, hideOverlap: true },
  axisLine: { show: false },
  axisTick: { show: false },
  splitLine: { lineStyle: { color: theme.line } },
});

const levelFormat = (unit: Unit) => (value: number) =>
  `${Number((unit === "share" ? 100 * value : value).toPrecision(4))}`.replace("-", "−");

/** A row per value; in it a symbol and an interval for each series, one beneath the other. */
function intervals(spec: Of<"intervals">, theme: ChartTheme, width: number): Drawing {
  const several = spec.series.length > 1;
  const rowHeight = Math.max(26, 12 + ROW * Math.min(spec.series.length, 6) * 0.8);
  const legendHeight = several ? 18 + 24 * Math.ceil((spec.series.length * 130) / width) : 6;
  const option: EChartsCoreOption = {
    ...shared(theme),
    ...(several
      ? {
          legend: {
            top: 0,
            left: 0,
            itemWidth: 12,
            itemHeight: 10,
            itemGap: 18,
            textStyle: { color: theme.text },
            data: spec.series.map(({ name }, at) => ({ name, icon: SYMBOLS[at % SYMBOLS.length]! })),
          },
        }
      : {}),
    grid: { left: width < NARROW ? 96 : 150, right: 20, top: legendHeight, bottom: 46, containLabel: false },
    xAxis: {
      ...axis(theme, spec.xTitle),
      axisLabel: { color: theme.muted, hideOverlap: true, formatter: levelFormat(spec.unit) },
    },
    yAxis: {
      type: "category",
      data: [...spec.rows],
      inverse: true,
      axisTick: { show: false },
      axisLine: { onZero: true, lineStyle: { color: theme.muted } },
      axisLabel: { color: theme.text, width: width < NARROW ? 88 : 140, overflow: "truncate", interval: 0 },
      splitLine: { show: false },
    },
    series: spec.series.map(({ name, points }, at) => ({
      name,
      type: "custom",
      itemStyle: { color: theme.series[at % theme.series.length] },
      // The axis has to hold the intervals, not only the means.
      encode: { x: [0, 2, 3], y: 1 },
      data: points.flatMap((point, row) =>
        point === null
          ? []
          : [{ value: [point[0], row, point[1] ?? point[0], point[2] ?? point[0]], name: spec.rows[row] }],
      ),
      tooltip: { formatter: tooltipOf(({ value, name: row }) => intervalLines(name, row, value, points, spec)) },
      renderItem: (_: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) =>
        renderInterval(
          api,
          (at - (spec.series.length - 1) / 2) * Math.min(ROW * 0.8, (rowHeight - 8) / spec.series.length),
          at,
          theme,
        ),
    })),
  };
  return { option, height: legendHeight + 46 + rowHeight * spec.rows.length };
}

function intervalLines(
  name: string,
  row: string,
  value: readonly number[],
  points: Of<"intervals">["series"][number]["points"],
  { unit, series }: Of<"intervals">,
): string[] {
  const point = points[value[1]!];
  const head = series.length > 1 ? `${row}, ${name}` : row;
  const interval =
    point?.[1] === null ? [] : [`95 % interval ${formatInterval(point?.[1] ?? null, point?.[2] ?? null, unit)}`];
  return [head, `${formatDelta(value[0]!, unit)} ${unitName(unit)}`, ...interval];
}

function renderInterval(api: CustomSeriesRenderItemAPI, offset: number, at: number, theme: ChartTheme) {
  const [mean, row, low, high] = [0, 1, 2, 3].map((dimension) => Number(api.value(dimension))) as [
    number,
    number,
    number,
    number,
  ];
  const [x = 0, middle = 0] = api.coord([mean, row]);
  const y = middle + offset;
  const colour = theme.series[at % theme.series.length]!;
  const whiskers =
    low === high
      ? []
      : [
          {
            type: "line" as const,
            shape: { x1: api.coord([low, row])[0]!, y1: y, x2: api.coord([high, row])[0]!, y2: y },
            style: { stroke: colour, lineWidth: 2, opacity: 0.75 },
          },
        ];
  return {
    type: "group" as const,
    children: [...whiskers, symbolAt(SYMBOLS[at % SYMBOLS.length]!, x, y, colour, theme.surface)],
  };
}

function symbolAt(symbol: (typeof SYMBOLS)[number], x: number, y: number, fill: string, edge: string) {
  const style = { fill, stroke: edge, lineWidth: 1 };
  const r = 4.5;
  if (symbol === "circle") return { type: "circle" as const, shape: { cx: x, cy: y, r }, style };
  if (symbol === "rect") return { type: "rect" as const, shape: { x: x - 4, y: y - 4, width: 8, height: 8 }, style };
  const points =
    symbol === "triangle"
      ? [
          [x, y - 5],
          [x + 5, y + 4],
          [x - 5, y + 4],
        ]
      : [
          [x, y - 5.5],
          [x + 5.5, y],
          [x, y + 5.5],
          [x - 5.5, y],
        ];
  return { type: "polygon" as const, shape: { points }, style };
}

/** One line a series, named at its end where there is room, else in a legend. */
function lines(spec: Of<"lines">, theme: ChartTheme, width: number): Drawing {
  const narrow = width < NARROW;
  const legendHeight = narrow ? 12 + 24 * Math.ceil((spec.series.length * 120) / width) : 10;
  const height = (narrow ? 300 : 400) + legendHeight;
  const series = spec.series.flatMap(({ name, points }, at) => {
    const colour = theme.series[at % theme.series.length]!;
    const symbol = SYMBOLS[(at + Math.floor(at / theme.series.length)) % SYMBOLS.length]!;
    const line = {
      name,
      type: "line",
      data: points.map(({ x, y, label }) => ({ value: [x, y], name: label })),
      symbol,
      symbolSize: 8,
      lineStyle: { width: 2, color: colour, type: at < theme.series.length ? "solid" : "dashed" },
      itemStyle: { color: colour, borderColor: theme.surface, borderWidth: 1 },
      emphasis: { focus: "series" },
      endLabel: { show: !narrow, formatter: () => name, color: colour, fontSize: 12, distance: 8 },
      labelLayout: { moveOverlap: "shiftY" },
      tooltip: {
        formatter: tooltipOf(({ value, name: label }) => [
          `${name}, ${label}`,
          `${spec.xTitle}: ${formatLevel(value[0]!, spec.xUnit)}`,
          `${spec.yTitle}: ${formatLevel(value[1]!, spec.yUnit)}`,
        ]),
      },
    };
    const bars = points.flatMap(({ x, y, low, high }) => (low === null || high === null ? [] : [[x, y, low, high]]));
    if (bars.length === 0) return [line];
    return [
      line,
      {
        name,
        type: "custom",
        silent: true,
        z: 1,
        tooltip: { show: false },
        data: bars,
        encode: { x: 0, y: [1, 2, 3] },
        itemStyle: { color: colour },
        renderItem: (_: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) => {
          const [x1 = 0, y1 = 0] = api.coord([api.value(0), api.value(2)]);
          const [x2 = 0, y2 = 0] = api.coord([api.value(0), api.value(3)]);
          return {
            type: "line" as const,
            shape: { x1, y1, x2, y2 },
            style: { stroke: colour, lineWidth: 1.5, opacity: 0.55 },
          };
        },
      },
    ];
  });
  const option: EChartsCoreOption = {
    ...shared(theme),
    ...(narrow
      ? {
          legend: {
            top: 0,
            left: 0,
            itemWidth: 16,
            itemHeight: 8,
            textStyle: { color: theme.text },
            data: spec.series.map(({ name }) => name),
          },
        }
      : {}),
    grid: { left: 62, right: narrow ? 14 : 150, top: legendHeight, bottom: 48 },
    xAxis: {
      ...axis(theme, spec.xTitle),
      scale: false,
      axisLabel: { color: theme.muted, hideOverlap: true, formatter: levelFormat(spec.xUnit) },
      splitLine: { show: false },
      axisLine: { show: true, onZero: true, lineStyle: { color: theme.muted } },
    },
    yAxis: {
      ...axis(theme, spec.yTitle),
      nameGap: 44,
      axisLabel: { color: theme.muted, formatter: levelFormat(spec.yUnit) },
    },
    series,
  };
  return { option, height };
}

interface TooltipItem {
  value: readonly number[];
  name: string;
}

/** Lines of text as an element: a name in the data stays text, whatever it holds. */
function tooltipOf(linesOf: (item: TooltipItem) => string[]) {
  return (item: unknown): HTMLElement => {
    const box = document.createElement("div");
    linesOf(item as TooltipItem).forEach((line, at) => {
      const row = document.createElement("div");
      row.textContent = line;
      if (at === 0) row.style.fontWeight = "600";
      box.append(row);
    });
    return box;
  };
}
