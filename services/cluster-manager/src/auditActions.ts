import type { AuditActions } from '@fleetgate/kit'

/** What the record calls the changes; how their operations went on is in the operation log. Whoever reads out what opens a cluster or a host is named too. */
export const auditActions: AuditActions = {
  'post /v1/cluster': 'cluster.create',
  'delete /v1/cluster/:id': 'cluster.delete',
  'post /v1/cluster/:id/apply': 'cluster.apply',
  'get /v1/cluster/:id/access': 'cluster.read-access',
  'post /v1/cluster/:id/hosts': 'cluster.add-hosts',
  'delete /v1/cluster/:id/hosts': 'cluster.remove-hosts',
  'post /v1/cluster/:id/pubkey': 'cluster.add-pubkeys',
  'delete /v1/cluster/:id/pubkey': 'cluster.remove-pubkeys',
  'post /v1/cluster/:id/registry': 'cluster.add-registries',
  'delete /v1/cluster/:id/registry': 'cluster.remove-registries',
  'post /v1/operations/:id/cancel': 'operation.cancel',
  'post /v1/operations/:id/retry': 'operation.retry',
  'post /v1/pubkey': 'pubkey.save',
  'post /v1/pubkey/userSelfCreate': 'pubkey.generate',
  'get /v1/pubkey/downLoadKey/:user_id': 'pubkey.download',
  'delete /v1/pubkey/:id': 'pubkey.delete',
  'post /v1/dockerregistries': 'registry.create',
  'delete /v1/dockerregistries/:id': 'registry.delete',
  'post /v1/provider': 'provider.create',
  'put /v1/provider/:id': 'provider.update',
  'delete /v1/provider/:id': 'provider.delete',
  'post /v1/provider/:id/check': null,
  'post /v1/smtp': 'smtp.create',
  'put /v1/smtp/:id': 'smtp.update',
  'delete /v1/smtp/:id': 'smtp.delete'
}
