import type { AuditActions } from '@fleetgate/kit'

/** What the record calls the changes. Messages change nothing and may be very many; changes of people are in the record of auth, which makes them. */
export const auditActions: AuditActions = {
  'delete /api/v2/clients/:clientid': 'client.kick',
  'put /api/v2/kick_client/:clientid': 'client.kick',
  'put /api/v2/clients/:clientid/clean_acl_cache': 'client.clean-acl',
  'post /api/v2/mqtt/subscribe': 'client.subscribe',
  'post /api/v2/mqtt/unsubscribe': 'client.unsubscribe',
  'put /api/v2/nodes/:node/plugins/:name': 'plugin.switch',
  'put /api/v2/nodes/:node/plugin_configs/:plugin': 'plugin.configure',
  'put /api/v2/configs/:app': 'config.change',
  'put /api/v2/nodes/:node/configs/:app': 'config.change',
  'post /v2/:project/instances/:instance/users': 'mqtt-user.create',
  'put /v2/:project/instances/:instance/users/:user': 'mqtt-user.update',
  'delete /v2/:project/instances/:instance/users/:user': 'mqtt-user.delete',
  'post /v1/files': 'file.upload',
  'delete /v1/files/:sha256': 'file.delete',
  'post /api/v2/mqtt/publish': null,
  'post /api/v2/users': null,
  'put /api/v2/users/:username': null,
  'delete /api/v2/users/:username': null,
  'put /api/v2/users/change_pwd': null,
  'put /api/v2/change_pwd/:username': null
}
