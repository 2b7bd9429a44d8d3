/** Marks the section that is being read in the list of sections. */
import { all } from "./dom.js";

export function startSectionMarks(): void {
  const links = new Map(all<HTMLAnchorElement>("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        for (const [id, link] of links) {
          if (id === target.id) link.setAttribute("aria-current", "true");
          else link.removeAttribute("aria-current");
        }
      }
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  for (const section of all("main section")) seen.observe(section);
}
