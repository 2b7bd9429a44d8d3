/**
 * The diverging colour scale of heat maps, for light and dark pages: orange below zero, blue above (told apart by people
 * with any common colour blindness), neutral in the middle. Each step carries the text colour that reads on it.
 */

export interface Swatch {
  fill: string;
  text: string;
}

export interface Theme {
  surface: string;
  text: string;
  muted: string;
  line: string;
  /** Edges of controls, 3:1 against the surface. */
  edge: string;
  /** Behind paragraphs that stand apart. */
  panel: string;
  accent: string;
  /** Of series in charts, 3:1 against the surface; after the last the first comes again with another symbol. */
  series: readonly string[];
  /** Steps -5 … 5, the neutral one in the middle. */
  steps: readonly Swatch[];
}

/** Steps on each side of zero. */
export const STEPS_A_SIDE = 5;

const swatches = (text: [string, string], fills: string[], lastWithFirstText: number): Swatch[] =>
  fills.map((fill, index) => ({ fill, text: Math.abs(index - STEPS_A_SIDE) <= lastWithFirstText ? text[0] : text[1] }));

export const LIGHT: Theme = {
  surface: "#ffffff",
  text: "#1c1d1f",
  muted: "#5c6066",
  line: "#d9dbdf",
  edge: "#868b93",
  panel: "#f4f5f6",
  accent: "#1b5fa7",
  series: ["#1b5fa7", "#b2560a", "#12806a", "#8a3fa0", "#8c6d00", "#b3305c", "#4c5866", "#0b86a8"],
  steps: swatches(
    ["#1c1d1f", "#ffffff"],
    [
      "#7d3a04",
      "#b2560a",
      "#f0a65c",
      "#f8cd9f",
      "#fdeada",
      "#f2f2f0",
      "#e0ecf8",
      "#b5d2ee",
      "#80b1e0",
      "#2f74b8",
      "#124f8c",
    ],
    3,
  ),
};

export const DARK: Theme = {
  surface: "#15171a",
  text: "#eceef0",
  muted: "#a3a9b1",
  line: "#353a41",
  edge: "#767d87",
  panel: "#1e2125",
  accent: "#8cc0f2",
  series: ["#7db5ee", "#f0a65c", "#4cc9a6", "#d19be6", "#d9be4a", "#f08aae", "#b4bdc8", "#5cc8e6"],
  steps: swatches(
    ["#ffffff", "#15171a"],
    [
      "#f7c78d",
      "#e29a4a",
      "#8f5212",
      "#633c14",
      "#3d2b1a",
      "#272a2f",
      "#1c3147",
      "#1e496f",
      "#27659c",
      "#5f9fd9",
      "#a6cff2",
    ],
    3,
  ),
};

/** WCAG 2.2's relative luminance of "#rrggbb". */
function luminance(colour: string): number {
  const channel = (at: number): number => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

/** WCAG 2.2's contrast ratio, 1 to 21. */
export function contrast(first: string, second: string): number {
  const [low, high] = [luminance(first), luminance(second)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/**
 * The step of a value on a scale that ends at ±`limit`: by the square root of its size, so that crosstalk a tenth as
 * large as the target's own shift still shows.
 */
export function stepOf(value: number, limit: number): number {
  if (!(limit > 0) || !Number.isFinite(value)) return 0;
  return Math.sign(value) * Math.min(STEPS_A_SIDE, Math.round(STEPS_A_SIDE * Math.sqrt(Math.abs(value) / limit)));
}

/** The sizes between which `stepOf` gives `step` (≥ 0). */
export function stepRange(step: number, limit: number): [number, number] {
  const edge = (at: number): number => limit * (Math.max(0, at) / STEPS_A_SIDE) ** 2;
  return [step === 0 ? 0 : edge(step - 0.5), step === STEPS_A_SIDE ? limit : edge(step + 0.5)];
}

/** The scale as CSS custom properties: --step-0 … --step-10, --ink-0 … --ink-10, and the page's colours. */
export function themeVariables(theme: Theme): string {
  const steps = theme.steps.map(({ fill, text }, index) => `--step-${index}:${fill};--ink-${index}:${text};`).join("");
  return `--surface:${theme.surface};--text:${theme.text};--muted:${theme.muted};--line:${theme.line};--edge:${theme.edge};--panel:${theme.panel};--accent:${theme.accent};${steps}`;
}
