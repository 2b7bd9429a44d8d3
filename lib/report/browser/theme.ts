/** Light, dark, or as the system has it. */

const CHOICES = ["system", "light", "dark"] as const;
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners: (() => void)[] = [];

export function isDark(): boolean {
  const { theme } = document.documentElement.dataset;
  return theme === undefined ? system.matches : theme === "dark";
}

export function onThemeChange(listener: () => void): void {
  listeners.push(listener);
}

const tell = (): void => {
  for (const listener of listeners) listener();
};

export function startTheme(): void {
  const button = document.querySelector<HTMLButtonElement>("button.theme")!;
  let at = 0;
  button.hidden = false;
  button.addEventListener("click", () => {
    at = (at + 1) % CHOICES.length;
    const choice = CHOICES[at]!;
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.textContent = choice === "system" ? "Theme: as the system" : `Theme: ${choice}`;
    tell();
  });
  system.addEventListener("change", tell);
}
