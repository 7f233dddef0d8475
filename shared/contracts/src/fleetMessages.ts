import { EpochMs, Sha256 } from './ids.js'
import { oneOf, recordOf, type Static, Type } from './schema.js'
import { overWriteModes, roles, Step } from './steps.js'
import { Traceparent } from './trace.js'

/** A file of a manifest: `path` is relative to the step's target, empty where the step names one file. */
export const ManifestFile = Type.Object({
  path: Type.String(),
  sha256: Sha256,
  size: Type.Integer({ minimum: 0 })
})
export type ManifestFile = Static<typeof ManifestFile>

/** What a SEND_FILE or BROADCAST step sends: the files found at the SERVER machine when the run began, or why there are none. */
export const Source = Type.Object({
  files: Type.Optional(Type.Array(ManifestFile)),
  /** BROADCAST: the cast by which they come. A machine that knows no casts asks for each block itself. */
  castId: Type.Optional(Type.String()),
  error: Type.Optional(Type.String())
})
export type Source = Static<typeof Source>

export const ExecutionTask = Type.Object({
  taskId: Type.Integer(),
  name: Type.String(),
  order: Type.Integer(),
  scripts: Type.Array(Step)
})
export type ExecutionTask = Omit<Static<typeof ExecutionTask>, 'scripts'> & { scripts: Step[] }

/**
 * down/execution: run these tasks. Redelivery of a known (executionId, attempt) restarts nothing: the agent goes
 * on, or sends what it has already reported once more.
 */
export const ExecutionCommand = Type.Object({
  executionId: Type.String(),
  runId: Type.String(),
  jobId: Type.Integer(),
  attempt: Type.Integer({ minimum: 1 }),
  epoch: Type.Integer({ minimum: 1 }),
  /** Time left until the run's deadline when the command was sent; absent means no deadline. */
  expiresInMs: Type.Optional(Type.Number()),
  /** The trace of the request that ran the job. */
  traceparent: Type.Optional(Traceparent),
  tasks: Type.Array(ExecutionTask),
  /** By scriptId (as a string) of each SEND_FILE and BROADCAST step. */
  sources: recordOf(Source)
})
export type ExecutionCommand = Omit<Static<typeof ExecutionCommand>, 'tasks'> & { tasks: ExecutionTask[] }

/**
 * down/stop: end this attempt now. Programs are ended, transfers and waits cut, open steps reported as FAILED or SKIPPED with
 * the reason. Repeated until the machine has said FINISHED; a machine that never had the attempt says so of it at once.
 */
export const StopCommand = Type.Object({
  executionId: Type.String({ minLength: 1 }),
  attempt: Type.Integer({ minimum: 1 }),
  reason: Type.String()
})
export type StopCommand = Static<typeof StopCommand>

/** down/stage, to a SERVER machine: hash this file, upload what the store lacks, answer on up/staged. */
export const StageCommand = Type.Object({
  stageId: Type.String(),
  runId: Type.String(),
  path: Type.String(),
  ignoreHiddenFile: Type.Boolean(),
  /** Of the steps that send it. */
  transferOption: Type.Optional(recordOf(Type.Unknown()))
})
export type StageCommand = Static<typeof StageCommand>

/** up/staged: the manifest, sent when every file of it is in the store; or why not. */
export const Staged = Type.Object({
  stageId: Type.String(),
  runId: Type.String(),
  files: Type.Optional(Type.Array(ManifestFile)),
  error: Type.Optional(Type.String())
})
export type Staged = Static<typeof Staged>

/** Bytes of a list of files as JSON: it has to fit into one MQTT packet and one NATS message, beside other things. */
export const fileListLimit = 600 * 1024

/** up/offer, of a RECV_FILE step: these files are in the store, a SERVER machine may have them. Repeated until answered. */
export const Offer = Type.Object({
  offerId: Type.String({ minLength: 1, maxLength: 64 }),
  executionId: Type.String({ minLength: 1, maxLength: 128 }),
  attempt: Type.Integer({ minimum: 1 }),
  scriptId: Type.Integer({ minimum: 1 }),
  files: Type.Array(ManifestFile, { minItems: 1 })
})
export type Offer = Static<typeof Offer>

/** down/receive, to a SERVER machine: fetch these files to the target, answer on up/received. */
export const ReceiveCommand = Type.Object({
  offerId: Type.String(),
  /** The machine that offers them. */
  from: Type.String(),
  files: Type.Array(ManifestFile),
  /** What a file without a name of its own is called in a folder. */
  name: Type.String(),
  targetFilePath: Type.String(),
  createFilePath: Type.Boolean(),
  overWrite: oneOf(overWriteModes),
  /** Of the step. */
  transferOption: Type.Optional(recordOf(Type.Unknown()))
})
export type ReceiveCommand = Static<typeof ReceiveCommand>

/** up/received: what became of them; one of `message` and `error`. */
export const Received = Type.Object({
  offerId: Type.String(),
  from: Type.String({ minLength: 1, maxLength: 256 }),
  message: Type.Optional(Type.String()),
  error: Type.Optional(Type.String())
})
export type Received = Static<typeof Received>

/** down/offer-end, to the machine that offers: what became of it, or why it has to wait. */
export const OfferEnd = Type.Object({
  offerId: Type.String(),
  message: Type.Optional(Type.String()),
  error: Type.Optional(Type.String()),
  waiting: Type.Optional(Type.String())
})
export type OfferEnd = Static<typeof OfferEnd>

/** up/hello: who the machine is; sent after each connect. */
export const Hello = Type.Object({
  role: oneOf(roles),
  version: Type.String(),
  attributes: recordOf(Type.String())
})
export type Hello = Static<typeof Hello>

export const reportKinds = [
  'RECEIVED',
  'TASK_STARTED',
  'STEP_STARTED',
  'STEP_MESSAGE',
  'STEP_ENDED',
  'TASK_ENDED',
  'FINISHED'
] as const

/** SKIPPED: the branch not taken, or a step after a failed one. */
export const stepResults = ['SUCCESS', 'FAILED', 'SKIPPED'] as const
export type StepResult = (typeof stepResults)[number]

export const ReportEvent = Type.Object({
  /** Counts from 1 within (executionId, attempt); names the event for ever, so repeats are harmless. */
  seq: Type.Integer({ minimum: 1 }),
  /** The machine's own clock. */
  at: EpochMs,
  kind: oneOf(reportKinds),
  taskId: Type.Optional(Type.Integer()),
  scriptId: Type.Optional(Type.Integer()),
  status: Type.Optional(oneOf(stepResults)),
  message: Type.Optional(Type.String()),
  exitCode: Type.Optional(Type.Integer()),
  /** The end of a program's output, stdout and stderr together, at most 4 KiB. */
  output: Type.Optional(Type.String())
})
export type ReportEvent = Static<typeof ReportEvent>

/** up/report: events of one attempt, in order. `sentAt` against the time of arrival gives the clock's error. */
export const Report = Type.Object({
  executionId: Type.String({ minLength: 1 }),
  attempt: Type.Integer({ minimum: 1 }),
  epoch: Type.Integer({ minimum: 1 }),
  sentAt: EpochMs,
  events: Type.Array(ReportEvent, { minItems: 1 })
})
export type Report = Static<typeof Report>

/** up/file-query: is this content in the store, and how far has the upload `fileId` come? */
export const FileQuery = Type.Object({
  requestId: Type.String(),
  sha256: Sha256,
  fileId: Type.Optional(Type.String()),
  /** What the machine calls it: content that is there is found under this name of the machine's too. */
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 240 }))
})
export type FileQuery = Static<typeof FileQuery>

/** down/file-info: the answer to file-query, and to a `blocks` request that cannot be served. */
export const FileInfo = Type.Object({
  requestId: Type.Optional(Type.String()),
  sha256: Sha256,
  stored: Type.Boolean(),
  size: Type.Optional(Type.Integer()),
  blockSize: Type.Integer(),
  /** Offsets of the segments of the upload `fileId` that are safely stored. */
  received: Type.Optional(Type.Array(Type.Integer())),
  /** Uploads may be compressed; absent means that the store takes plain ones only. */
  takesGzip: Type.Optional(Type.Boolean()),
  error: Type.Optional(Type.String())
})
export type FileInfo = Static<typeof FileInfo>

/** up/blocks: send these blocks (by index, at most 64 a request) to me. */
export const BlocksRequest = Type.Object({
  sha256: Sha256,
  blocks: Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1, maxItems: 64 }),
  /** Blocks that this makes smaller may come as gzip: their topic says so. */
  gzip: Type.Optional(Type.Boolean())
})
export type BlocksRequest = Static<typeof BlocksRequest>

/**
 * up/cast-join: this machine has subscribed to the cast and lacks the content. Joins are gathered for a moment, then each block
 * goes out once to all. Whoever comes later, or misses some, asks for those by up/blocks.
 */
export const CastJoin = Type.Object({
  castId: Type.String({ minLength: 1, maxLength: 64 }),
  sha256: Sha256,
  /** Bytes per second; the fastest wish of those that are gathered counts. */
  rateLimit: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  gzip: Type.Optional(Type.Boolean())
})
export type CastJoin = Static<typeof CastJoin>

/** Payload of `$file/{fileId}/init`. */
export const UploadInit = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 240 }),
  size: Type.Integer({ minimum: 0 }),
  checksum: Type.Optional(Sha256),
  /** Ours: every segment is compressed; sizes, offsets and hashes are those of the plain bytes. */
  encoding: Type.Optional(oneOf(['gzip']))
})
export type UploadInit = Static<typeof UploadInit>
