/** The library: everything that `import … from "valora"` offers. */

export type { Arm } from "./curation/arms.js";
export { type CurateOptions, type CurateProgress, type Curation, curate } from "./curation/curate.js";
export type { DroppedComparison } from "./data/formats/format.js";
export { FORMAT_NAMES, type FormatName, type FormatOptions } from "./data/formats/options.js";
export { readGenerationPrompts, readScoreRequests, readTexts, type TextLine } from "./data/input-lines.js";
export { type PreferencePair, parsePair, readPairs } from "./data/pairs.js";
export { type PreferenceDataOptions, readPreferenceData } from "./data/preference-data.js";
export { describeReadReport, type ReadReport } from "./data/read-report.js";
export { type DataRecord, type ReadRecordsOptions, readRecords } from "./data/records.js";
export type { Adapter, CreateAdapterOptions } from "./engine/adapter.js";
export type { Device, DeviceChoice, Isa } from "./engine/device.js";
export type { EmbedOptions, EmbedProgress, EmbedRequest, EmbedResult } from "./engine/embed.js";
export type { Prompt } from "./engine/encode.js";
export type { GenerateOptions, GenerateProgress, GenerationPrompt, GenerationResult } from "./engine/generate.js";
export { mergeAdapter } from "./engine/merge.js";
export type { Model } from "./engine/model.js";
export { type OpenModelOptions, openModel } from "./engine/open.js";
export type { ItemErrorOptions } from "./engine/requests.js";
export type { ScoreOptions, ScoreProgress, ScoreRequest, ScoreResult } from "./engine/score.js";
export { type TrainOptions, type TrainReport, type TrainStep, trainDpo } from "./engine/train.js";
export {
  AdapterFormatError,
  ApiError,
  CancelledError,
  DataFormatError,
  DeviceError,
  DisposedError,
  DownloadError,
  FileError,
  ModelFormatError,
  NotFiniteError,
  OutOfMemoryError,
  UnsupportedError,
  UsageError,
  ValoraError,
} from "./errors.js";
export { type EvaluationItem, readItems } from "./evaluation/item.js";
export { type PlannedTask, type PlanOptions, planTasks, type Subject } from "./evaluation/plan.js";
export { type Examinee, RemoteModel, type RemoteModelOptions } from "./evaluation/remote.js";
export { type RunOptions, type RunProgress, runTasks, type TaskOutcome } from "./evaluation/run.js";
export { UserSimulator } from "./evaluation/simulator.js";
export { DataSources, SOURCES, type Source } from "./evaluation/sources.js";
export { chooseTasks, SUITES } from "./evaluation/suites.js";
export { Summary, type SummaryRow } from "./evaluation/summary.js";
export type { GenerationQuestion, LikelihoodQuestion, Question, Suite, Task } from "./evaluation/task.js";
export { type JsonLine, type ReadJsonLinesOptions, readJsonLines } from "./files/json-lines.js";
export { cohenKappa, fleissKappa } from "./metrics/agreement.js";
export { type BootstrapOptions, bootstrapMean, type Interval } from "./metrics/bootstrap.js";
export {
  brierScore,
  expectedCalibrationError,
  type Forecast,
  type ReliabilityBin,
  reliability,
} from "./metrics/calibration.js";
export {
  bootstrapScores,
  confusionOf,
  type Estimate,
  type Judged,
  scoresOf,
  wilson,
} from "./metrics/classification.js";
export {
  type CrossedArray,
  type CrossedEstimate,
  combine,
  crossedDifference,
  crossedMean,
  crossedVariance,
  type Inference,
  infer,
} from "./metrics/crossed.js";
export { type CrossedBootstrapOptions, type CrossedWeights, crossedBootstrap } from "./metrics/crossed-bootstrap.js";
export {
  type Crosstalk,
  type CrosstalkCell,
  type CrosstalkOptions,
  crosstalkMatrix,
  type PairMargin,
} from "./metrics/crosstalk.js";
export {
  type CorrectionName,
  type CrosstalkStudy,
  type CrosstalkStudyOptions,
  crosstalkOfTable,
  crosstalkStudy,
  type StudyCell,
} from "./metrics/crosstalk-study.js";
export { type Dose, type DosePoint, type DoseResponse, doseResponse } from "./metrics/dose-response.js";
export { equivalenceP, type Verdict, verdict } from "./metrics/equivalence.js";
export { crossedRatio, fiellerInterval, type Ratio } from "./metrics/fieller.js";
export { compareAtKl, type MatchedShift, shiftAtKl, type Trajectory } from "./metrics/matched-kl.js";
export { type RelabelOptions, relabelledMaxT, stepDownMaxT } from "./metrics/max-t.js";
export { fitVariancePrior, moderate, type SampleVariance, type VariancePrior } from "./metrics/moderated.js";
export { benjaminiYekutieli, holm } from "./metrics/multiplicity.js";
export { makePickItem, type PickItem, pickPrecision, randomPickPrecision } from "./metrics/pick-target.js";
export {
  type Design,
  powerOf,
  smallestDetectableShift,
  type VarianceComponents,
  varianceComponents,
} from "./metrics/power.js";
export { type StudyItem, StudyTable } from "./metrics/study-items.js";
export { ChatTemplate, loadChatTemplate, type Message } from "./models/chat-template.js";
export { type Inspection, inspectPath } from "./models/inspect.js";
export { type ModelFiles, readModelFiles } from "./models/model-files.js";
export { readAdapter, writeAdapter } from "./models/peft.js";
export { pullModel } from "./models/pull.js";
export { NAMED_MODELS, resolveModel } from "./models/registry.js";
export { createTokenizer, Tokenizer } from "./models/tokenizer.js";
export { type LabelledSet, type LabelledText, readLabelled } from "./precision/labelled.js";
export {
  type MeasureOptions,
  measurePrecision,
  type PrecisionReport,
  type ValuePrecision,
} from "./precision/measure.js";
export type { PickTest } from "./precision/pick-tests.js";
export { type ScoreTextsOptions, scoreTexts } from "./precision/score-texts.js";
export { type About, type WriteReportOptions, type WrittenReport, writeReport } from "./report/write-report.js";
export { type Expansion, expand, type Job, jobSchema } from "./study/jobs.js";
export { type PreparedStudy, prepareStudy } from "./study/prepare-study.js";
export { readStudy, type StudyFile } from "./study/read-study.js";
export { runStudy, type StudyResult } from "./study/run.js";
export { runJob } from "./study/run-job.js";
export { type Study, studySchema } from "./study/schema.js";
export { StudyStore } from "./study/store.js";
export type { Exchange, Extractor, Scores } from "./values/extractor.js";
export { type ExtractorName, type OpenExtractorOptions, openExtractor } from "./values/extractors.js";
export { type LabelledPair, type LabelPairsOptions, type LabelProgress, labelPairs } from "./values/label-pairs.js";
export { ScoreCache } from "./values/score-cache.js";
export { type Category, chooseValues, loadTaxonomy, type Taxonomy, type Value } from "./values/taxonomy.js";
