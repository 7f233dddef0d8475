import { oneOf, recordOf, type Static, type TSchema, Type } from './schema.js'

/** Step types of the SDES document (`type` of a script). */
export const stepTypes = [
  'SEND_FILE',
  'RECV_FILE',
  'COPY_FILE',
  'DELETE_FILE',
  'EXECUTE_FILE',
  'WAIT_FLAG_FILE',
  'GET_FILE_STATUS',
  'IF',
  'BROADCAST',
  'UPLOAD_TO_SERVER'
] as const
export type StepType = (typeof stepTypes)[number]

export const overWriteModes = ['OVERWRITE', 'NOT_OVERWRITE', 'COMPARE_OVERWRITE'] as const

/** Roles of a fleet machine (SDES `role`). */
export const roles = ['SERVER', 'STORE'] as const
export type Role = (typeof roles)[number]

/** Of `transferOption` of a step that moves content; other keys are kept for whoever wrote them. */
export const TransferOption = Type.Object({
  /** Bytes of content per second, of one machine (BROADCAST: of the whole cast). Below 1024 a block would take minutes. */
  rateLimit: Type.Optional(Type.Integer({ minimum: 1024, maximum: 1_000_000_000_000 })),
  compress: Type.Optional(Type.Boolean())
})

const stepFields = {
  scriptId: Type.Integer({ minimum: 1 }),
  type: oneOf(stepTypes),
  order: Type.Integer(),
  filePath: Type.Optional(Type.String()),
  targetFilePath: Type.Optional(Type.String()),
  createFilePath: Type.Optional(Type.Boolean()),
  ignoreHiddenFile: Type.Optional(Type.Boolean()),
  /** true: the next step waits for this one; false: it runs beside the next ones and is joined at the task's end. */
  block: Type.Boolean(),
  retryTimes: Type.Integer({ minimum: 0 }),
  /** Seconds between two tries. */
  retryInterval: Type.Number({ minimum: 0 }),
  overWrite: oneOf(overWriteModes),
  transferOption: Type.Optional(recordOf(Type.Unknown())),
  /** EXECUTE_FILE: argument vector; no shell is involved. */
  arguments: Type.Optional(Type.Array(Type.String())),
  /** Seconds after which a program is ended or a wait given up; absent means the agent's default. */
  timeout: Type.Optional(Type.Number({ minimum: 0 }))
}

/** One step as an agent receives it. IF carries `conditions` (AND-ed) and the branches `true` and `false`. */
export const Step = Type.Recursive(
  (This) =>
    Type.Object({
      ...stepFields,
      conditions: Type.Optional(Type.Array(This as TSchema)),
      true: Type.Optional(Type.Array(This as TSchema)),
      false: Type.Optional(Type.Array(This as TSchema))
    }),
  { $id: 'Step' }
)

export type Step = Static<ReturnType<typeof plainStep>> & { conditions?: Step[]; true?: Step[]; false?: Step[] }

function plainStep() {
  return Type.Object(stepFields)
}
