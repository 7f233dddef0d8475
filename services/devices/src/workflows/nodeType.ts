import type { TSchema } from '@fleetgate/kit'
import type { Http } from '@fleetgate/kit/outbound'
import type { Outputs } from './references.js'
import type { Sandbox } from './sandbox/sandbox.js'

export type Outcome = Record<string, unknown>

/** What nodes may do beyond their own parameters. */
export interface NodeParts {
  sandbox: Sandbox
  /** Latest values by the keys of entities; what is not there is left out. */
  readValues(tenantId: string, keys: string[]): Promise<Outcome>
  /** Throws `invalid_input` naming the key that is not there or does not take its value. */
  writeValues(tenantId: string, exchange: Outcome): Promise<void>
  callService(tenantId: string, exchange: Outcome): Promise<Outcome>
  sendMail(mail: { tenantId: string; messageId: string; to: string[]; subject: string; text: string }): Promise<void>
  /** The secret of a credential; throws `invalid_state` where it is gone. */
  secretOf(tenantId: string, credentialId: string): Promise<string>
  http: Http
}

export interface NodeContext extends NodeParts {
  tenantId: string
  /** Names this node of this run, the same however often it is tried. */
  messageId: string
  /** What started the run. */
  input: Outcome
  outputs: Outputs
  signal: AbortSignal
  now: () => number
}

export interface EntityUse {
  field: string
  key: string
}

/** One field of the form that editors show for a node. */
export interface FormField {
  /** Of the parameter. */
  name: string
  title: string
  type: 'string' | 'array' | 'map' | 'object'
  required?: boolean
  options?: readonly string[]
  description?: string
  /** The editor's own control for it; without one it is a line of text, or a choice among the options. */
  control?: string
  /** Fields of one group stand together below its name. */
  group?: string
  /** What is written here is what later nodes can refer to. */
  isOutput?: boolean
}

/** One kind of node. `P` is its parameters once references are resolved. */
export interface NodeType<P = unknown> {
  component: string
  title: string
  group: 'entry' | 'control' | 'action' | 'external'
  form: readonly FormField[]
  /** Editors offer to try it alone. */
  isTestable?: boolean
  /** A reference may stand wherever the schema takes text. */
  parameters: TSchema
  /** Keys of entities that the parameters name. */
  uses?: (parameters: P) => EntityUse[]
  /** The credential that the parameters name; `listed` where it must be one that people manage. */
  credential?: (parameters: P) => { field: string; id: string; listed: boolean } | undefined
  /** Beyond the schema: why the parameters cannot be run. */
  problem?: (parameters: P) => string | undefined
  /** Parameters that the node resolves itself. */
  raw?: boolean
  /** Changes something outside the run: never repeated where nobody knows whether it was done. */
  hasEffect?: boolean
  run(parameters: P, context: NodeContext): Promise<NodeResult> | NodeResult
}

export interface NodeResult {
  output: Outcome
  /** Of a choice: the branch that goes on. */
  branch?: string
  /** Of an output node: this is what a caller is answered. */
  isAnswer?: boolean
}

/** Forgets the type of the parameters: the schema was checked before they get here. */
export function nodeType<P>(type: NodeType<P>): NodeType {
  return type as unknown as NodeType
}
