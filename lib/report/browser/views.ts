/** Figures that have several views: one is shown, chosen by the labels in which they differ. */
import { all, element } from "./dom.js";

type Labels = Record<string, string>;

export function startViews(): void {
  for (const holder of all(".views")) offerChoices(holder);
}

function offerChoices(holder: HTMLElement): void {
  const views = all(":scope > .view", holder).map((node) => ({
    node,
    labels: JSON.parse(node.dataset.labels ?? "{}") as Labels,
  }));
  if (views.length < 2) return;
  holder.classList.add("live");
  const keys = Object.keys(views[0]!.labels);
  const selects = new Map<string, HTMLSelectElement>();
  const show = (shown: (typeof views)[number]): void => {
    for (const view of views) view.node.hidden = view !== shown;
    for (const [key, select] of selects) select.value = shown.labels[key] ?? "";
  };
  const choices = element("div", { class: "choices" });
  for (const key of keys) {
    const select = element("select");
    for (const label of new Set(views.map(({ labels }) => labels[key] ?? "")))
      select.append(element("option", { value: label }, label));
    selects.set(key, select);
    // Not every combination exists: the new choice holds, and as many of the others as can.
    select.addEventListener("change", () => {
      const agreement = ({ labels }: { labels: Labels }): number =>
        labels[key] === select.value
          ? 1 + keys.filter((other) => labels[other] === selects.get(other)!.value).length
          : 0;
      show(views.reduce((best, view) => (agreement(view) > agreement(best) ? view : best)));
    });
    choices.append(element("label", {}, key, select));
  }
  holder.prepend(choices);
  show(views[0]!);
}
