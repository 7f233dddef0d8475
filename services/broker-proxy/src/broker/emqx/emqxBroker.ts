import type { Log } from '@fleetgate/contracts'
import type { BrokerDriver, BrokerRules, Session } from '../brokerDriver.js'
import type { BrokerExtras, MaybeExtras } from '../brokerFacts.js'
import { createLane } from '../lane.js'
import { createApi } from './api.js'
import { clientEventFilters, createClientEvents } from './clientEvents.js'
import { type ClientRegister, createClientRegister } from './clientRegister.js'
import { createDeliver, type Deliver } from './delivery.js'
import { createDoor } from './door.js'
import { createEmqxControl } from './emqxControl.js'
import { countsOf, createEmqxFacts, createPeaks } from './emqxFacts.js'
import { createFigures } from './figures.js'
import { emqxHookRoutes } from './hooks.js'
import { createIdentify } from './identify.js'
import { createIntake } from './intake.js'
import { openPublishers, openReceivers, openWatcher, type Publishers, type Receivers } from './links.js'
import { watchOrphans } from './orphans.js'
import { createReconcile } from './reconcile.js'
import { createRest } from './rest.js'
import { createRights } from './rights.js'
import type { EmqxSettings } from './settings.js'
import { createSurveys, type TenantSurvey } from './survey.js'
import { createTelling, toldFilters } from './telling.js'
import { createTopicSpace } from './topicSpace.js'

export interface EmqxBrokerOptions {
  settings: EmqxSettings
  maxPayloadBytes: number
  log: Log
}

/** Requests to EMQX at once. */
const atOnce = 8

/** EMQX 5: commands and reports over MQTT, the rest over its REST API and over what it asks us. */
export function createEmqxBroker({ settings, maxPayloadBytes, log }: EmqxBrokerOptions): BrokerDriver & MaybeExtras {
  const space = createTopicSpace(settings)
  const rest = createRest(settings)
  const api = createApi(rest)
  const lane = createLane(atOnce)
  let rules: BrokerRules | undefined
  let register: ClientRegister | undefined
  let publishers: Publishers | undefined
  let deliver: Deliver | undefined
  let receivers: Receivers | undefined
  let extras: BrokerExtras | undefined
  const isListening = () => receivers?.isListening() ?? false
  const door = createDoor({ settings, space, rules: () => rules, isListening, log })
  const rights = createRights({ api, lane, door, rules: () => rules, space, log })
  const stops: (() => unknown)[] = []

  function connected(): Publishers {
    if (!publishers) throw new Error('the broker is not open')
    return publishers
  }

  function watch(given: BrokerRules, known: ClientRegister): void {
    const onStranger = (clientId: string) => rights.kick(clientId, 'no user of ours')
    const parts = { api, register: known, rules: given, onStranger, lane, log }
    const reconcile = createReconcile({ ...parts, everyMs: settings.reconcileMs })
    const watcher = openWatcher({
      settings,
      log,
      name: 'watch',
      filters: clientEventFilters,
      onOpen: reconcile.now,
      onMessage: createClientEvents(parts)
    })
    const onMessage = createTelling({ rules: given, space, log })
    const teller = openWatcher({ settings, log, name: 'told', filters: toldFilters, onMessage })
    stops.push(
      () => teller.close(),
      () => watcher.close(),
      reconcile.stop
    )
  }

  function receive(given: BrokerRules, known: ClientRegister): void {
    const identify = createIdentify({ register: known, door, api, rules: given })
    const onMessage = createIntake({ space, identify, rules: given, maxPayloadBytes, log })
    const receiving = { settings, log, filters: space.uplinkFilters, onMessage }
    receivers = openReceivers(receiving)
    const orphans = watchOrphans({ ...receiving, api, isListening, now: Date.now })
    stops.push(() => receivers?.close(), orphans.close)
  }

  function extrasFor(given: BrokerRules): BrokerExtras {
    const peaks = createPeaks()
    const onTaken = (tenantId: string, survey: TenantSurvey) => peaks.note(tenantId, countsOf(survey))
    const surveys = createSurveys({ api, rules: given, space, onTaken })
    return {
      facts: createEmqxFacts({ api, figures: createFigures(rest), surveys, peaks, rules: given, space, settings }),
      control: createEmqxControl({ api, door, rights, rules: given, surveys })
    }
  }

  return {
    name: 'emqx',
    isRemote: true,
    routes: emqxHookRoutes(door, settings.authSecret),

    /** Does not wait for EMQX: that asks us, over HTTP, whether our own connections may come in. */
    async open(given) {
      const known = createClientRegister(given)
      for (const session of await given.takeOver()) known.takeOver(session)
      rules = given
      register = known
      const pool = openPublishers({ settings, log })
      publishers = pool
      stops.push(() => pool.close())
      deliver = createDeliver({ publishers: connected, register: known, api, space, lane, log })
      receive(given, known)
      watch(given, known)
      extras = extrasFor(given)
      return { port: portOf(settings.mqttUrl) }
    },

    get facts() {
      return extras?.facts
    },
    get control() {
      return extras?.control
    },

    session: (clientId) => register?.of(clientId),
    *sessions() {
      yield* register?.all() ?? []
    },
    send: (session, message) => deliver?.(session, message) ?? Promise.resolve(false),
    // With QoS 1 EMQX's acknowledgement paces us; members have subscribed with QoS 0.
    cast: (tenantId, message) =>
      connected().publish({ ...message, topic: space.prefixOf(tenantId) + message.topic, qos: 1, retain: false }),
    publish: (tenantId, message) =>
      connected().publish({ ...message, topic: space.prefixOf(tenantId) + message.topic }),

    disconnect(session, reason) {
      if (isCurrent(session)) rights.kick(session.clientId, reason)
    },
    recheck(session) {
      if (isCurrent(session)) rights.recheck(session)
    },

    async close() {
      for (let stop = stops.pop(); stop; stop = stops.pop()) await stop()
    }
  }

  function isCurrent(session: Session): boolean {
    return register?.of(session.clientId) === session
  }
}

const usualPorts: Record<string, number> = { 'mqtts:': 8883, 'ws:': 80, 'wss:': 443 }

function portOf(mqttUrl: string): number {
  const { port, protocol } = new URL(mqttUrl)
  return port === '' ? (usualPorts[protocol] ?? 1883) : Number(port)
}
