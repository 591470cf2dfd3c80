export { type Catalogue, catalogueOn, type ScalingStart } from './catalogue.ts';
export type { PortView, ResourceDeps } from './contract.ts';
export * from './ids.ts';
export { keysOwner } from './keys.ts';
export { MaintenanceDesk } from './maintenance.ts';
export { kernelPorts } from './ports.ts';
export { Resources } from './resources.ts';
export { type RoomView, watchRoom } from './room.ts';
export type { ScalingSkus, SkuQuestion, SkuView } from './sku-views.ts';
