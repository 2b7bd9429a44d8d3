/** The report page's script: views, grids, details, charts. Without it the page is the same tables, one after another. */
import type { PageData } from "../page-data.js";
import { startCharts } from "./charts.js";
import { openDetail } from "./detail.js";
import { startDownloads } from "./downloads.js";
import { startGrids } from "./grids.js";
import { startSectionMarks } from "./section-marks.js";
import { startTheme } from "./theme.js";
import { startViews } from "./views.js";

const data = JSON.parse(document.querySelector("#data")!.textContent ?? "{}") as PageData;
startTheme();
startDownloads();
startGrids((cell) => openDetail(data, cell));
startViews();
startCharts(data.charts);
startSectionMarks();
