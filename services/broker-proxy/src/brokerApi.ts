import type { Route } from '@fleetgate/kit'
import { brokerAway, createAlarms, type Watched } from './alarms/alarms.js'
import { emqAlarmRoutes } from './alarms/emq.js'
import type { BrokerDriver } from './broker/brokerDriver.js'
import { type BrokerFacts, extrasOf, type MaybeExtras } from './broker/brokerFacts.js'
import type { Clients } from './clients/clients.js'
import { emqClientRoutes } from './clients/emq.js'
import { emqClientActionRoutes } from './clients/emqActions.js'
import type { Config } from './config.js'
import { emqConfigRoutes } from './configs/emq.js'
import { emqListenerRoutes } from './listeners/emq.js'
import { emqMonitoringRoutes } from './monitoring/emq.js'
import { emqNodeRoutes } from './nodes/emq.js'
import { emqPluginRoutes } from './plugins/emq.js'
import type { Plugins } from './plugins/plugins.js'
import { emqRouteRoutes } from './routes/emq.js'
import { emqSessionRoutes } from './sessions/emq.js'
import { emqSubscriptionRoutes } from './subscriptions/emq.js'
import { emqProxyRoutes } from './subscriptions/proxySubscribe.js'
import type { Accounts } from './users/accounts.js'

export interface BrokerApiParts {
  config: Config
  version: string
  plugins: Plugins
  driver: BrokerDriver & MaybeExtras
  clients: Clients
  accounts: Pick<Accounts, 'refresh'>
  checks: Record<'nats' | 'store', () => boolean | Promise<boolean>>
  now: () => number
}

export interface BrokerApi {
  routes: Route[]
  /** When the broker is open. */
  open(): void
  close(): void
}

/** Everything of EMQ REST v2 that looks at the broker and its clients. */
export function createBrokerApi(parts: BrokerApiParts): BrokerApi {
  const { config, version, driver, now } = parts
  const { BROKER_NODE: node, EMQ_FORM: form } = config
  const facts = () => extrasOf(driver).facts
  const control = () => extrasOf(driver).control
  const alarms = createAlarms([...watched(parts.checks), ...(driver.isRemote ? [watchedBroker(facts)] : [])], now)
  const place = { node, facts }

  return {
    routes: [
      ...emqNodeRoutes({ name: node, version, facts, startedAt: now(), now }),
      ...emqClientRoutes(parts.clients),
      ...emqClientActionRoutes({ driver, refreshUser: parts.accounts.refresh }),
      ...emqSessionRoutes(place),
      ...emqSubscriptionRoutes(place),
      ...emqProxyRoutes(control),
      ...emqRouteRoutes(place),
      ...emqListenerRoutes({ ...place, form }),
      ...emqMonitoringRoutes({ ...place, form }),
      ...emqPluginRoutes({ node, version, plugins: parts.plugins }),
      ...emqAlarmRoutes({ node, alarms, facts }),
      ...emqConfigRoutes({ ...place, config })
    ],
    open: alarms.start,
    close: alarms.stop
  }
}

function watched({ nats, store }: BrokerApiParts['checks']): Watched[] {
  return [
    { id: 'nats_unavailable', title: 'NATS is away', summary: 'Messages of clients wait', isWell: nats },
    { id: 'store_unavailable', title: 'The database is away', summary: 'Lists and log-ins wait', isWell: store }
  ]
}

function watchedBroker(facts: () => BrokerFacts): Watched {
  return {
    id: brokerAway,
    title: 'The broker is away',
    summary: 'Its REST API does not answer as it should',
    async isWell() {
      await facts().node?.()
      return true
    }
  }
}
