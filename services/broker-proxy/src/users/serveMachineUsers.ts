import {
  AppError,
  type Bus,
  createMachineUser,
  dropMqttAccount,
  keepMqttAccount,
  type Subscription
} from '@fleetgate/contracts'
import type { FindOwners } from '../clients/owners.js'
import type { Users } from './users.js'

/** RPC broker-proxy.createMachineUser. */
export function serveMachineUsers(parts: {
  bus: Pick<Bus, 'serve'>
  users: Pick<Users, 'provideMachine'>
  owners: FindOwners
}): Promise<Subscription> {
  const { bus, users, owners } = parts
  return bus.serve(createMachineUser, async ({ tenantId, clientId, grant, replace }) => {
    const owner = (await owners([clientId])).get(clientId)
    // Its user could never log in: a client id belongs to the tenant that first used it.
    if (owner && owner.tenantId !== tenantId) throw new AppError('conflict', `the client id ${clientId} is taken`)
    const { accessKey, secretKey } = await users.provideMachine(tenantId, { clientId, grant }, replace)
    return { username: accessKey, password: secretKey }
  })
}

/** RPCs broker-proxy.keepMqttAccount and broker-proxy.dropMqttAccount. */
export async function serveAccounts(parts: {
  bus: Pick<Bus, 'serve'>
  users: Pick<Users, 'keep' | 'drop'>
}): Promise<Subscription[]> {
  const { bus, users } = parts
  const keeping = await bus.serve(keepMqttAccount, async ({ tenantId, username, password, topics }) => {
    await users.keep(tenantId, username, { secretKey: password, topics })
    return {}
  })
  const dropping = await bus.serve(dropMqttAccount, async ({ tenantId, username }) => {
    await users.drop(tenantId, username)
    return {}
  })
  return [keeping, dropping]
}
