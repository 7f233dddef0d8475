import { commonConfig, type Static, Type } from '@fleetgate/kit'

const Ms = (value: number, minimum = 10) => Type.Integer({ minimum, default: value })

export const Config = Type.Object({
  ...commonConfig,
  /** Whether a machine that connects for the first time may take part in jobs at once. */
  AUTO_ENABLE_NEW_CLIENT: Type.Boolean({ default: true }),
  /** How long a machine may take to confirm a command before it is sent again; doubles with each try up to a minute. */
  ACK_TIMEOUT_MS: Ms(10_000),
  /** A machine at work that says nothing for so long is asked again. */
  SILENCE_TIMEOUT_MS: Ms(60_000),
  /** How long after a connection the command goes out where no hello has come: it may not have subscribed yet. */
  CONNECT_GRACE_MS: Ms(1_000, 0),
  RUN_DEADLINE_HOURS: Type.Number({ exclusiveMinimum: 0, maximum: 8760, default: 72 }),
  /** Days for which runs and their logs are kept after their end; 0 for ever. */
  RETENTION_DAYS: Type.Integer({ minimum: 0, maximum: 36_500, default: 90 }),
  /** A second request to run a job within this time of a run that is still open gives that run. */
  RUN_REPEAT_MS: Ms(10_000, 0),
  /** How long a replica may be silent before another drives its runs on. */
  LEASE_MS: Ms(5_000, 200),
  SWEEP_MS: Ms(1_000),
  /** How long machines at work may take to finish after their run was cancelled or stopped. */
  STOP_GRACE_MS: Ms(3_600_000),
  STAGE_REPEAT_MS: Ms(5_000),
  /** After so long without an answer another SERVER machine is asked as well. */
  STAGE_PATIENCE_MS: Ms(60_000),
  RECONCILE_MS: Ms(60_000),
  /** In which schedules are read until a tenant sets its own: an IANA name such as Europe/Berlin. */
  TIME_ZONE: Type.String({ default: 'UTC' }),
  /** How often the machines online are counted, and those that are away for long looked for. */
  SAMPLE_MS: Ms(60_000),
  /** Where machines find the broker, as an enrolled one is told; empty: nobody can enrol. */
  MACHINE_MQTT_URL: Type.String({ default: '', pattern: '^((mqtts?|wss?|tcp|ssl)://.+)?$' }),
  /** Certificate authority of the broker (PEM), where it is none that every machine knows. */
  MACHINE_CA_FILE: Type.String({ default: '' }),
  /** Tries to enrol that an address may make in a minute before it has to wait; per process. */
  ENROL_ATTEMPTS_PER_MINUTE: Type.Integer({ minimum: 1, default: 60 }),
  /** An enabled machine that is away for longer raises an alert; 0: none does. */
  ALERT_OFFLINE_MINUTES: Type.Number({ minimum: 0, default: 30 }),
  /** How often alerts are looked for of which no mail was sent. */
  ALERT_MAIL_SWEEP_MS: Ms(2_000),
  /** A tenant gets one mail in this time at most; what comes meanwhile goes together. */
  ALERT_MAIL_EVERY_MS: Ms(60_000)
})
export type Config = Static<typeof Config>

/** What the engine needs to know of time, all in milliseconds. */
export interface EngineSettings {
  ackTimeoutMs: number
  silenceTimeoutMs: number
  connectGraceMs: number
  leaseMs: number
  sweepMs: number
  stageRepeatMs: number
  stagePatienceMs: number
  stopGraceMs: number
}

export function engineSettings(config: Config): EngineSettings {
  return {
    ackTimeoutMs: config.ACK_TIMEOUT_MS,
    silenceTimeoutMs: config.SILENCE_TIMEOUT_MS,
    connectGraceMs: config.CONNECT_GRACE_MS,
    leaseMs: config.LEASE_MS,
    sweepMs: config.SWEEP_MS,
    stageRepeatMs: config.STAGE_REPEAT_MS,
    stagePatienceMs: config.STAGE_PATIENCE_MS,
    stopGraceMs: config.STOP_GRACE_MS
  }
}
