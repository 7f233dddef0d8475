/**
 * What a role may allow. The first block is Beaver IoT's own list (its seeded menus); the rest guards the
 * dialects that knew no roles.
 */
export const functionCodes = [
  'dashboard.view',
  'dashboard.add',
  'dashboard.edit',
  'dashboard.delete',
  'device.view',
  'device.add',
  'device.edit',
  'device.delete',
  'device.group_manage',
  'entity_custom.view',
  'entity_custom.add',
  'entity_custom.edit',
  'entity_custom.delete',
  'entity_data.view',
  'entity_data.edit',
  'entity_data.export',
  'workflow.view',
  'workflow.add',
  'workflow.edit',
  'workflow.delete',
  'integration.view',
  'credentials.view',
  'credentials.edit',
  'entity_tag.view',
  'entity_tag.manage',
  'job.view',
  'job.edit',
  'job.run',
  'client.view',
  'client.edit',
  'broker.view',
  'broker.edit',
  'mqtt_user.view',
  'mqtt_user.edit',
  'cluster.view',
  'cluster.edit',
  'key.view',
  'key.edit',
  'tenant.edit',
  'smtp.view',
  'smtp.edit'
] as const

export type FunctionCode = (typeof functionCodes)[number]
