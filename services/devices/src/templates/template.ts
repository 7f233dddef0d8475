import type { EntityTemplate } from '../entities/entityKeys.js'
import type { Conversion } from './conversion.js'

/** One entity of each device of a template, and where its value stands in a message. */
export interface TemplateEntity extends EntityTemplate {
  /** JSON pointer (RFC 6901) into the payload; the empty one is the whole payload. */
  pointer?: string
  conversion?: Conversion
  children?: TemplateChild[]
}

export type TemplateChild = Omit<TemplateEntity, 'type' | 'children'>

export const timestampUnits = ['ms', 's', 'iso'] as const

/** What makes devices of the messages of a topic. */
export interface Template extends TemplateDraft {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  createdAt: number
  updatedAt: number
  traffic: Traffic
}

export interface TemplateDraft {
  /** Unique in its tenant. */
  name: string
  description?: string | undefined
  /** MQTT topic filter in which one level is `{device}`; other levels may be `+`. */
  topic: string
  /** Where writes and calls go; one level is `{device}`. */
  downTopic?: string | undefined
  timestamp?: { pointer: string; unit: (typeof timestampUnits)[number] } | undefined
  /** Whether a device nobody added is made at its first message. */
  autoCreate: boolean
  entities: TemplateEntity[]
}

/** Counts may name a message twice that came again after a crash. */
export interface Traffic {
  messages: number
  samples: number
  refused: number
  lastMessageAt?: number | undefined
  lastError?: { at: number; topic: string; reason: string } | undefined
}

export const mqttDevice = 'mqtt-device'
